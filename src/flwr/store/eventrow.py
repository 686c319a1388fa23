"""Events as rows: a kind, whose text is part of the format, and a msgpack body."""

import math
from dataclasses import asdict, fields
from typing import Any, TypeVar

import msgspec

from flwr.app.events import (
    Aggregated,
    Event,
    Exchange,
    NodeMetrics,
    NodeOutcome,
    RoundFinished,
    RoundStarted,
    RunFinished,
    RunStarted,
    ServerEvaluated,
)
from flwr.store.records import UnknownEvent

Record = TypeVar("Record")

CLASS_OF_KIND: dict[str, type[Event]] = {
    "run-started": RunStarted,
    "round-started": RoundStarted,
    "exchange": Exchange,
    "aggregated": Aggregated,
    "server-evaluated": ServerEvaluated,
    "round-finished": RoundFinished,
    "run-finished": RunFinished,
}
_KIND_OF_CLASS = {event_class: kind for kind, event_class in CLASS_OF_KIND.items()}
_PARTS: dict[str, tuple[str, type[Any]]] = {  # kinds with a list of smaller records
    "exchange": ("outcomes", NodeOutcome),
    "aggregated": ("nodes", NodeMetrics),
}
_FIELDS: dict[type[Any], frozenset[str]] = {
    record_class: frozenset(field.name for field in fields(record_class))
    for record_class in (*CLASS_OF_KIND.values(), NodeOutcome, NodeMetrics)
}
_PACKABLE = range(-(2**63), 2**64)

_encode = msgspec.msgpack.Encoder().encode


def encode(event: Event) -> tuple[str, bytes]:
    """Return the kind and body of an event. Odd values are made storable, never refused."""
    kind = _KIND_OF_CLASS[type(event)]
    try:
        return kind, _encode(event)
    except (TypeError, OverflowError, ValueError):
        return kind, _encode(_storable(asdict(event)))


def decode(kind: str, body: bytes) -> Event | UnknownEvent:
    """Return the event of a row; unknown fields are dropped, unknown kinds kept as they are."""
    given = msgspec.msgpack.decode(body)
    try:
        parts = {}
        if kind in _PARTS:
            name, part_class = _PARTS[kind]
            parts[name] = [_built(part_class, part) for part in given[name]]
        return _built(CLASS_OF_KIND[kind], given | parts)
    except (KeyError, TypeError):  # a newer version added the kind, or took a field away
        return UnknownEvent(kind, given)


def _built(record_class: type[Record], given: dict[str, Any]) -> Record:
    names = _FIELDS[record_class]
    return record_class(**{name: value for name, value in given.items() if name in names})


def _storable(value: Any) -> Any:
    """Return `value` with what msgpack cannot hold replaced by the nearest thing it can."""
    match value:
        case dict():
            return {_storable(str(key)): _storable(item) for key, item in value.items()}
        case list():
            return [_storable(item) for item in value]
        case bool() | None:
            return value
        case int() | float():
            return _number(value)
    return str(value).encode("utf-8", "replace").decode()


def _number(value: float) -> float:
    if isinstance(value, int):
        if value in _PACKABLE:
            return int(value)
        if value.bit_length() > 1023:
            return math.inf if value > 0 else -math.inf
    return float(value)
