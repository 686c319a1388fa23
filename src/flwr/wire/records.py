"""Records and metadata as plain lists and dicts, for whatever msgpack message carries them.

Arrays stay out of it: the caller says what stands for a record's arrays, and finds them again.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from flwr.app import ArrayRecord, ConfigRecord, Metadata, MetricRecord, RecordDict
from flwr.errors import ParcelError

ARRAYS = "a"
METRICS = "m"
CONFIG = "c"

_LEAST, _GREATEST = -(2**63), 2**64 - 1  # msgpack's integers
_BIG_INTEGER = 1  # extension code: an integer beyond them, as hexadecimal text

Encoded = list[Any]
_Values = TypeVar("_Values", MetricRecord, ConfigRecord)


def encode_records(content: RecordDict, place: Callable[[ArrayRecord], object]) -> Encoded:
    """Turn a content into a list that msgspec can encode.

    Parameters
    ----------
    content : RecordDict
        What to encode.
    place : Callable[[ArrayRecord], object]
        Called with each array record in order; returns what stands for it in the list.

    Returns
    -------
    list
        ``[name, kind, payload]`` for each record; a kind is ``ARRAYS``, ``METRICS`` or ``CONFIG``.

    Raises
    ------
    ParcelError
        If a name, key or text cannot be written as UTF-8.
    """
    encoded: Encoded = []
    for name, record in content.items():
        if not name.isascii():
            _check_text(name, f"the name of record {name!r}")
        if isinstance(record, ArrayRecord):
            encoded.append([name, ARRAYS, place(record)])
        else:
            kind = METRICS if isinstance(record, MetricRecord) else CONFIG
            encoded.append([name, kind, _encode_values(name, record)])
    return encoded


def decode_records(encoded: Encoded, fetch: Callable[[object], ArrayRecord]) -> RecordDict:
    """Turn what :func:`encode_records` made, once decoded by msgspec, into a content.

    Parameters
    ----------
    encoded : list
        As received; nothing about it is trusted.
    fetch : Callable[[object], ArrayRecord]
        Called with each payload that ``place`` returned; gives the record.

    Raises
    ------
    ParcelError
        If it is no such list, or a record holds what it must not.
    """
    content: dict[str, ArrayRecord | MetricRecord | ConfigRecord] = {}
    for item in encoded:
        if type(item) is not list or len(item) != 3 or type(item[0]) is not str:
            raise ParcelError("An item of the content is not a name, a kind and a payload.")
        name, kind, payload = item
        if name in content:
            raise ParcelError(f"The content has two records named {name!r}.")
        if kind == ARRAYS:
            content[name] = fetch(payload)
        elif kind == METRICS:
            content[name] = _decode_values(MetricRecord, name, payload)
        elif kind == CONFIG:
            content[name] = _decode_values(ConfigRecord, name, payload)
        else:
            raise ParcelError(f"Record {name!r} is of an unknown kind: {kind!r}.")
    return RecordDict(content)


def _encode_values(name: str, record: Mapping[str, Any]) -> dict[str, Any]:
    values = dict(record.items())
    for key, value in record.items():
        if not key.isascii():
            _check_text(key, f"key {key!r} of record {name!r}")
        kind = type(value)
        if kind is float or kind is bool or kind is bytes:
            continue
        if kind is int and _LEAST <= value <= _GREATEST:
            continue
        where = f"the value of key {key!r} of record {name!r}"
        if isinstance(value, list):
            values[key] = _encode_list(value, where)
        else:
            values[key] = _encode_value(value, where)
    return values


def _encode_list(values: list[Any], where: str) -> list[Any]:
    kinds = set(map(type, values))
    if kinds <= {float, bool, bytes}:
        return values
    if kinds == {int} and min(values) >= _LEAST and max(values) <= _GREATEST:
        return values
    return [_encode_value(value, where) for value in values]


def _encode_value(value: Any, where: str) -> object:
    """Tag what msgpack cannot hold; make builtins of subclasses (NumPy's ``float64`` is one).

    Records hold plain values only, but share their lists with whoever made them.
    """
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        value = int(value)
        if _LEAST <= value <= _GREATEST:
            return value
        return msgspec.msgpack.Ext(_BIG_INTEGER, hex(value).encode())
    if isinstance(value, str):
        if not value.isascii():
            _check_text(value, where)
        return str(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, bytes):
        return bytes(value)
    raise ParcelError(
        f"{_capitalised(where)} cannot be sent: it holds a {type(value).__name__}, "
        "which records do not take."
    )


def _check_text(text: str, what: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ParcelError(
            f"{_capitalised(what)} cannot be sent: it holds half of a surrogate pair, "
            "which UTF-8 has no bytes for.",
            hint="Names of undecodable files look like this; send them as bytes: os.fsencode(x).",
        ) from error


def _capitalised(text: str) -> str:
    return text[0].upper() + text[1:]


def _decode_values(of: type[_Values], name: str, payload: object) -> _Values:
    if type(payload) is not dict:
        raise ParcelError(f"Record {name!r} is not a mapping but {type(payload).__name__}.")
    try:
        try:
            return of(payload)
        except TypeError:  # tagged integers are rare: look for them only where a value is refused
            return of({key: _untagged(value) for key, value in payload.items()})
    except (TypeError, ValueError) as error:
        raise ParcelError(f"Record {name!r} cannot be read: {error}") from error


def _untagged(value: Any) -> Any:
    if isinstance(value, list):
        return [_untagged(item) for item in value]
    if isinstance(value, msgspec.msgpack.Ext) and value.code == _BIG_INTEGER:
        return int(bytes(value.data), 16)
    return value


class _MetadataFields(msgspec.Struct, array_like=True, gc=False, forbid_unknown_fields=True):
    """What travels of a message's metadata, in this order."""

    run_id: int
    message_id: str
    src_node_id: int
    dst_node_id: int
    reply_to_message_id: str
    group_id: str
    created_at: float | int
    ttl: float | int
    message_type: str
    src_task_id: int | None
    dst_task_id: int | None
    delivered_at: str


def encode_metadata(metadata: Metadata) -> Encoded:
    """Turn metadata into a list that msgspec can encode; every field travels."""
    created_at, ttl = metadata.created_at, metadata.ttl
    return [
        metadata.run_id,
        metadata.message_id,
        metadata.src_node_id,
        metadata.dst_node_id,
        metadata.reply_to_message_id,
        metadata.group_id,
        # NumPy's float64 is a float, too
        created_at if type(created_at) is int else float(created_at),
        ttl if type(ttl) is int else float(ttl),
        metadata.message_type,
        metadata.src_task_id,
        metadata.dst_task_id,
        metadata.delivered_at,
    ]


def decode_metadata(encoded: object) -> Metadata:
    """Turn what :func:`encode_metadata` made, once decoded by msgspec, into metadata.

    Raises
    ------
    ParcelError
        If a field is missing, of another type, or no message has such a type.
    """
    try:
        fields = msgspec.convert(encoded, _MetadataFields)
        metadata = Metadata(
            fields.run_id,
            fields.message_id,
            fields.src_node_id,
            fields.dst_node_id,
            fields.reply_to_message_id,
            fields.group_id,
            fields.created_at,
            fields.ttl,
            fields.message_type,
            fields.src_task_id,
            fields.dst_task_id,
        )
    except ValueError as error:  # msgspec's are ValueErrors as well
        raise ParcelError(f"The message's metadata cannot be read: {error}") from error
    metadata.delivered_at = fields.delivered_at
    return metadata
