"""Checks on what users' functions and overridden methods return."""

from collections.abc import Callable, Iterable, Mapping

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord


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


def as_config(returned: object, function: Callable[..., object], node_id: int) -> ConfigRecord:
    """Return what a ``configure_node`` gave for a node.

    Raises
    ------
    TypeError
        If it is no ConfigRecord.
    """
    if not isinstance(returned, ConfigRecord):
        raise _wrong(function, f"a ConfigRecord for node {node_id}", returned)
    return returned


def as_messages(returned: object, function: Callable[..., object]) -> list[Message]:
    """Return what a ``configure_*`` method gave as a list of messages.

    Raises
    ------
    TypeError
        If it cannot be iterated over, or something in it is no Message.
    """
    if not isinstance(returned, Iterable):
        raise _wrong(function, "an iterable of Messages, empty to ask nobody", returned)
    messages = list(returned)
    for index, message in enumerate(messages):
        if not isinstance(message, Message):
            raise TypeError(
                f"{_name(function)} must return Messages; item {index} of what it returned is "
                f"{_shown(message)}"
            )
    return messages


def _wrong(function: Callable[..., object], expected: str, returned: object) -> TypeError:
    return TypeError(f"{_name(function)} must return {expected}, but returned {_shown(returned)}")


def _name(function: Callable[..., object]) -> str:
    return getattr(function, "__qualname__", repr(function))


def _shown(returned: object) -> str:
    shown = f"{returned!r:.100}" if isinstance(returned, int | float | str | tuple) else ""
    return f"{type(returned).__name__} {shown}".rstrip()
