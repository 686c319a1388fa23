"""A content as bytes in parts: a small head, then the arrays' own memory in frames.

::

    magic and version   4 bytes   b"WFC" and 1
    checksum            4 bytes   CRC-32 of what follows
    head                          msgpack: records, layouts, lengths of frames

Frames are cut as in a parcel, but lie in parts of their own, so that brokers can keep each of
them once and send what is missing.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from flwr.app import ArrayRecord, RecordDict, memory
from flwr.app.layout import Layout
from flwr.errors import ParcelError
from flwr.wire.frames import (
    Arrays,
    Bytes,
    address_of,
    cut,
    header_of,
    owner_of,
    read_layout,
    written,
)
from flwr.wire.records import Encoded, decode_records, encode_records

Buffer = bytes | bytearray | memoryview | Bytes

_MAGIC = b"WFC\x01"
_HEAD = struct.Struct("<4sI")


class _Head(msgspec.Struct, array_like=True, gc=False, forbid_unknown_fields=True):
    """All of a content but its arrays' values."""

    records: Encoded
    arrays: list[Arrays]


_decode = msgspec.msgpack.Decoder(_Head).decode


@dataclass(frozen=True, slots=True, eq=False)
class SealedContent:
    """A sealed content: views on the memory of its records, which must not change meanwhile.

    Attributes
    ----------
    head : bytes
        What everything else is read by. Equal contents have equal heads.
    frames : list of memoryview
        Of bytes, in the order of the records and of their arrays.
    """

    head: bytes
    frames: list[memoryview]

    @property
    def nbytes(self) -> int:
        """Bytes of head and frames."""
        return len(self.head) + sum(frame.nbytes for frame in self.frames)


def seal_content(content: RecordDict) -> SealedContent:
    """Cut a content into parts, without copying its arrays (small ones that lie apart are joined).

    Raises
    ------
    ParcelError
        If something in it cannot be written, as text that is no UTF-8.
    """
    arrays: list[Arrays] = []
    frames: list[memoryview] = []

    def place(record: ArrayRecord) -> int:
        layout = memory.layout_of(record)
        own = [_joined(pieces) for pieces in cut(record, layout)]
        arrays.append(Arrays(header_of(layout), [frame.nbytes for frame in own]))
        frames.extend(own)
        return len(arrays) - 1

    records = encode_records(content, place)
    encoded = written(_Head(records, arrays))
    return SealedContent(_HEAD.pack(_MAGIC, zlib.crc32(encoded)) + encoded, frames)


def frame_sizes(head: Buffer) -> list[list[int]]:
    """Return the bytes of each frame of each array record.

    Raises
    ------
    ParcelError
        If the bytes are no head, a damaged one, or claim sizes that contradict each other.
    """
    return [described.frames for described, _ in _described(_read(head))]


def open_content(head: Buffer, frames: Sequence[Buffer]) -> RecordDict:
    """Put a content together again.

    Parameters
    ----------
    head : bytes-like
        As sealed.
    frames : sequence of bytes-like
        All of them, in order. Where those of a record lie one behind the other in one buffer (or
        are only one), its arrays are views on it, and it must not change afterwards; otherwise
        they are copied once.

    Raises
    ------
    ParcelError
        If the bytes are no head, or a frame is missing or of another length.
    """
    read = _read(head)
    described = _described(read)
    expected = [nbytes for arrays, _ in described for nbytes in arrays.frames]
    given = [np.frombuffer(frame, np.uint8) if len(frame) else _NOTHING for frame in frames]
    if expected != [frame.nbytes for frame in given]:
        raise ParcelError(
            f"The content has frames of {expected} bytes, but was given "
            f"{[frame.nbytes for frame in given]}."
        )
    opened = []
    at = 0
    for arrays, layout in described:
        own = given[at : at + len(arrays.frames)]
        opened.append(memory.adopt(layout, _in_one_piece(own, layout)))
        at += len(own)
    fetched = 0

    def fetch(number: object) -> ArrayRecord:
        nonlocal fetched
        if number != fetched or fetched >= len(opened):
            raise ParcelError(f"The content's records name arrays that it does not hold: {number}.")
        fetched += 1
        return opened[fetched - 1]

    content = decode_records(read.records, fetch)
    if fetched != len(opened):
        raise ParcelError(f"The content holds arrays of {len(opened)} records, not of {fetched}.")
    return content


_NOTHING = np.empty(0, np.uint8)


def _joined(pieces: tuple[Bytes, ...]) -> memoryview:
    frame = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
    return memoryview(frame.data).toreadonly()


def _read(head: Buffer) -> _Head:
    raw = bytes(head)
    if len(raw) < _HEAD.size:
        raise ParcelError(f"{len(raw)} bytes are less than a content's head.")
    magic, checksum = _HEAD.unpack_from(raw)
    if magic[:3] != _MAGIC[:3]:
        raise ParcelError(f"These bytes are no content: they begin with {magic!r}.")
    if magic != _MAGIC:
        raise ParcelError(
            f"The content is of version {magic[3]}; this program reads version {_MAGIC[3]}.",
            hint="Use the same version on both sides.",
        )
    encoded = memoryview(raw)[_HEAD.size :]
    if zlib.crc32(encoded) != checksum:
        raise ParcelError("The content's head was altered: its checksum is wrong.")
    try:
        return _decode(encoded)
    except (ValueError, RecursionError) as error:  # msgspec's are ValueErrors as well
        raise ParcelError(f"The content's head cannot be read: {error}") from error


def _described(head: _Head) -> list[tuple[Arrays, Layout]]:
    """Return each array record's frames and layout, which must agree."""
    described = []
    for number, arrays in enumerate(head.arrays):
        try:
            layout = read_layout(bytes(arrays.layout))
        except (ValueError, RecursionError) as error:
            raise ParcelError(f"Array record {number} cannot be read: {error}") from error
        if layout.nbytes != sum(arrays.frames):
            raise ParcelError(
                f"Array record {number} has {layout.nbytes} bytes, but its frames "
                f"{sum(arrays.frames)}."
            )
        described.append((arrays, layout))
    return described


def _in_one_piece(frames: list[Bytes], layout: Layout) -> Bytes:
    """Return the memory that the frames lie in, if it is one; else a copy of them."""
    if len(frames) == 1:
        return frames[0]
    whole = _around(frames)
    if whole is not None:
        return whole
    copied = memory.allocate(layout.nbytes)
    at = 0
    for frame in frames:
        copied[at : at + frame.nbytes] = frame
        at += frame.nbytes
    return copied


def _around(frames: list[Bytes]) -> Bytes | None:
    """Return all the frames as one, if they follow each other in one buffer."""
    if not frames:
        return None
    owner = owner_of(frames[0])
    end = begin = address_of(frames[0])
    for frame in frames:
        if address_of(frame) != end or owner_of(frame) is not owner:
            return None
        end += frame.nbytes
    whole = np.frombuffer(owner, np.uint8)
    offset = begin - address_of(whole)
    return whole[offset : offset + end - begin]
