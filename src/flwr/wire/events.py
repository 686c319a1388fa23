"""Events as they travel and are stored: a kind, whose text is part of the format, and msgpack."""

import math
from dataclasses import asdict
from typing import Any

import msgspec

from flwr.app.events import (
    Aggregated,
    Event,
    Exchange,
    ModelSpoiled,
    NodesAwaited,
    RoundFinished,
    RoundStarted,
    RunFinished,
    RunStarted,
    ServerEvaluated,
)

CLASS_OF_KIND: dict[str, type[Event]] = {
    "run-started": RunStarted,
    "round-started": RoundStarted,
    "exchange": Exchange,
    "aggregated": Aggregated,
    "server-evaluated": ServerEvaluated,
    "round-finished": RoundFinished,
    "nodes-awaited": NodesAwaited,
    "model-spoiled": ModelSpoiled,
    "run-finished": RunFinished,
}
_KIND_OF_CLASS = {event_class: kind for kind, event_class in CLASS_OF_KIND.items()}
_PACKABLE = range(-(2**63), 2**64)

_encode = msgspec.msgpack.Encoder().encode


def encode(event: Event) -> tuple[str, bytes]:
    """Return the kind and body of an event. Odd values are made storable, never refused."""
    kind = _KIND_OF_CLASS[type(event)]
    try:
        return kind, _encode(event)
    except (TypeError, OverflowError, ValueError):
        return kind, _encode(_storable(asdict(event)))


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
