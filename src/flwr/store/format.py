"""How a database keeps what it keeps: known without SQLAlchemy, which takes long to load."""

from typing import Any

import msgspec

REVISION = "0002"  # of the tables in `schema`; the newest of `migrations/versions`


def pack(value: dict[str, Any]) -> bytes:
    """Return a dict of plain values as msgpack, which keeps NaN and tells 1 from 1.0."""
    return msgspec.msgpack.encode(value)


def unpack(packed: bytes) -> dict[str, Any]:
    """Return a dict that :func:`pack` packed."""
    return msgspec.msgpack.decode(packed, type=dict[str, Any])
