"""Checks on what users' functions and overridden methods return."""

from collections.abc import Callable, Mapping

from flwr.app import ArrayRecord, MetricRecord


def as_metrics(returned: object, function: Callable[..., object]) -> MetricRecord | None:
    """Return what a function gave as a MetricRecord.

    Raises
    ------
    TypeError
        If it is neither a MetricRecord, nor a mapping that can become one, nor ``None``.
    """
    if returned is None or isinstance(returned, MetricRecord):
        return returned
    if isinstance(returned, Mapping):
        return MetricRecord(dict(returned))
    raise _wrong(function, "a MetricRecord or None", returned)


def as_trained(
    returned: object, function: Callable[..., object]
) -> tuple[ArrayRecord | None, MetricRecord | None]:
    """Return what an ``aggregate_train`` gave as arrays and metrics.

    Raises
    ------
    TypeError
        If it is not a pair of them, each of which may be ``None``.
    """
    match returned:
        case [None | ArrayRecord() as arrays, metrics]:
            return arrays, as_metrics(metrics, function)
    raise _wrong(function, "a pair of (ArrayRecord or None, MetricRecord or None)", returned)


def _wrong(function: Callable[..., object], expected: str, returned: object) -> TypeError:
    name = getattr(function, "__qualname__", repr(function))
    shown = f"{returned!r:.100}" if isinstance(returned, int | float | str | tuple) else ""
    kind = type(returned).__name__
    return TypeError(f"{name} must return {expected}, but returned {kind} {shown}".rstrip())
