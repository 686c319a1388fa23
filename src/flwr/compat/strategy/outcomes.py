"""Checks on what users' functions return, so that an error names the function."""

from collections.abc import Callable, Iterable, Mapping

from flwr.compat.typing import Scalar

Function = Callable[..., object]


def as_config(returned: object, function: Function) -> dict[str, Scalar]:
    """Return what a configuration function gave; ``None`` is an empty configuration.

    Raises
    ------
    TypeError
        If it is no dict.
    """
    return {} if returned is None else _as_dict(returned, function, "a dict")


def as_metrics(returned: object, function: Function) -> dict[str, Scalar]:
    """Return what a metrics function gave.

    Raises
    ------
    TypeError
        If it is no dict.
    """
    return _as_dict(returned, function, "a dict of metrics")


def as_evaluated(returned: object, function: Function) -> tuple[float, dict[str, Scalar]] | None:
    """Return what an evaluation function gave.

    Raises
    ------
    TypeError
        If it is neither a pair of loss and metrics nor ``None``.
    """
    expected = "a pair of (loss, metrics), or None"
    if returned is None:
        return None
    parts = list(returned) if isinstance(returned, Iterable) else []
    if len(parts) != 2:
        raise _wrong(function, expected, returned)
    loss, metrics = parts
    return loss, _as_dict(metrics, function, expected)


def _as_dict(returned: object, function: Function, expected: str) -> dict[str, Scalar]:
    if isinstance(returned, dict):
        return returned
    if isinstance(returned, Mapping):
        return dict(returned)
    raise _wrong(function, expected, returned)


def _wrong(function: Function, expected: str, returned: object) -> TypeError:
    name = getattr(function, "__qualname__", repr(function))
    module = getattr(function, "__module__", None)
    return TypeError(
        f"{name}{f' (of {module})' if module else ''} must return {expected}, but returned "
        f"{type(returned).__name__} {returned!r:.60}."
    )
