"""Events as rows: read what `flwr.wire.events` writes, of any version."""

from dataclasses import fields
from typing import Any, TypeVar

import msgspec

from flwr.app.events import Event, NodeMetrics, NodeOutcome
from flwr.store.records import UnknownEvent
from flwr.wire.events import CLASS_OF_KIND

Record = TypeVar("Record")

_PARTS: dict[str, tuple[str, type[Any]]] = {  # kinds with a list of smaller records
    "exchange": ("outcomes", NodeOutcome),
    "aggregated": ("nodes", NodeMetrics),
}
_FIELDS: dict[type[Any], frozenset[str]] = {
    record_class: frozenset(field.name for field in fields(record_class))
    for record_class in (*CLASS_OF_KIND.values(), NodeOutcome, NodeMetrics)
}


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
