"""How an array record is cut into frames: one large array each, or a run of small ones.

Equal layers so make equal frames, whatever lies beside them in a message.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt

from flwr.app import ArrayRecord, memory
from flwr.app.layout import Layout
from flwr.errors import ParcelError

Bytes = npt.NDArray[np.uint8]

_SMALL = 64 * 1024  # bytes; smaller arrays share a frame
_REMEMBERED_HEADER = 64 * 1024  # bytes; longer ones, which anybody may send, are not kept

_Length = Annotated[int, msgspec.Meta(ge=0)]


class Arrays(msgspec.Struct, array_like=True, gc=False, forbid_unknown_fields=True):
    """Where an array record lies: its layout's header, and the bytes of each of its frames."""

    layout: msgspec.Raw
    frames: list[_Length]


_encode = msgspec.msgpack.Encoder().encode
_decode_header = msgspec.msgpack.Decoder(list[Any]).decode


def cut(record: ArrayRecord, layout: Layout) -> Iterator[tuple[Bytes, ...]]:
    """Cut a record's memory into frames, each of one piece where the record is packed."""
    if memory.is_packed(record):
        packed = memory.packed(record)
        for begin, end, _, _ in _spans(layout):
            yield (packed[begin:end],)
        return
    views = memory.frames(record)
    for begin, end, first, last in _spans(layout):
        pieces = []
        at = begin
        for entry, view in zip(layout.entries[first:last], views[first:last], strict=True):
            if entry.offset > at:
                pieces.append(zeros(entry.offset - at))
            pieces.append(view)
            at = entry.offset + entry.nbytes
        if end > at:
            pieces.append(zeros(end - at))
        yield tuple(pieces)


@lru_cache(maxsize=64)
def header_of(layout: Layout) -> msgspec.Raw:
    """Return a layout's header, encoded."""
    return msgspec.Raw(written(layout.header()))


def read_layout(header: bytes) -> Layout:
    """Read a layout; those of the last messages are at hand, since a run's are mostly equal.

    Raises
    ------
    ValueError, RecursionError
        If it is no header.
    """
    read = _remembered_layout if len(header) <= _REMEMBERED_HEADER else _read_layout
    return read(header)


def written(value: object) -> bytes:
    """Encode as msgpack.

    Raises
    ------
    ParcelError
        If something in it cannot be.
    """
    try:
        return _encode(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ParcelError(f"The message cannot be written: {error}") from error


def zeros(nbytes: int) -> Bytes:
    """Return what fills gaps."""
    return np.zeros(nbytes, np.uint8)


def owner_of(data: memoryview | Bytes) -> Any:
    """Return the object whose memory is viewed, through all views between."""
    owner: Any = data
    while True:
        if isinstance(owner, memoryview):
            owner = owner.obj
        elif isinstance(owner, np.ndarray) and owner.base is not None:
            owner = owner.base
        else:
            return owner


def address_of(data: memoryview | Bytes) -> int:
    """Return where bytes begin."""
    array = np.frombuffer(data, np.uint8) if isinstance(data, memoryview) else data
    return int(array.__array_interface__["data"][0])


def _read_layout(header: bytes) -> Layout:
    return Layout.from_header(_decode_header(header))


_remembered_layout = lru_cache(maxsize=16)(_read_layout)


@lru_cache(maxsize=256)
def _spans(layout: Layout) -> list[tuple[int, int, int, int]]:
    """Return each frame's first byte, end, first entry and end of entries."""
    entries = layout.entries
    spans = []
    first = 0
    for last in range(1, len(entries) + 1):
        goes_on = last < len(entries)
        if goes_on and entries[last - 1].nbytes < _SMALL and entries[last].nbytes < _SMALL:
            continue
        begin, end = entries[first].offset, entries[last].offset if goes_on else layout.nbytes
        if end > begin:
            spans.append((begin, end, first, last))
        first = last
    return spans
