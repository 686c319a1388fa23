"""A message as bytes: a small envelope, then the arrays' own memory in frames.

::

    magic and version   4 bytes   b"WFP" and 1
    checksum            4 bytes   CRC-32 of everything up to the first frame, but for these 8 bytes
    length              8 bytes   of the envelope
    envelope                      msgpack: metadata, error or records, layouts, lengths of frames
    zeros                         up to a multiple of 64
    frames                        each record's in one piece, at the next multiple of 64

A record's arrays lie in its frames as its layout says. A frame is one large array or a run of
small ones, so that equal layers make equal frames, whatever lies beside them in a message.
All numbers are little-endian.
"""

import struct
import zlib
from dataclasses import dataclass

import msgspec
import numpy as np

from flwr.app import ArrayRecord, Error, Message, memory
from flwr.errors import ParcelError
from flwr.wire.frames import Arrays, Bytes, cut, header_of, read_layout, written, zeros
from flwr.wire.records import (
    Encoded,
    decode_metadata,
    decode_records,
    encode_metadata,
    encode_records,
)

Writable = bytearray | memoryview | Bytes
Buffer = bytes | Writable

_MAGIC = b"WFP\x01"
_HEAD = struct.Struct("<4sIQ")
_CHECKED_FROM = 8  # the checksum covers what comes after itself
_ALIGNMENT = 64  # bytes; a cache line, and enough for every dtype


class _Envelope(msgspec.Struct, array_like=True, gc=False, forbid_unknown_fields=True):
    """All of a message but its arrays' values."""

    metadata: Encoded
    error: tuple[int, str | None] | None
    records: Encoded
    arrays: list[Arrays]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Envelope).decode


@dataclass(frozen=True, slots=True, eq=False)
class Parcel:
    """A sealed message: views on the memory of its records, which must not change meanwhile.

    Attributes
    ----------
    pieces : tuple[tuple[Bytes, ...], ...]
        The bytes of each part; several where the arrays of one frame lie apart.
    nbytes : int
        Of the whole parcel.
    """

    pieces: tuple[tuple[Bytes, ...], ...]
    nbytes: int

    @property
    def parts(self) -> list[memoryview]:
        """What to send, in order: the envelope, then the frames.

        Frames are views on the arrays' own memory; small arrays that lie apart are joined. Where
        a message has several array records, a part of fewer than 64 zeros may lie between them.
        """
        return [(part[0] if len(part) == 1 else np.concatenate(part)).data for part in self.pieces]

    def write_into(self, buffer: Writable) -> int:
        """Copy the parcel to the beginning of a writable buffer.

        Parameters
        ----------
        buffer : bytearray, memoryview or ndarray
            Of ``nbytes`` bytes or more, contiguous.

        Returns
        -------
        int
            How many bytes were written: ``nbytes``.

        Raises
        ------
        ValueError
            If the buffer is too small or read-only.
        """
        target = np.frombuffer(buffer, np.uint8)
        if target.nbytes < self.nbytes:
            raise ValueError(f"The parcel has {self.nbytes} bytes, but the buffer {target.nbytes}.")
        if not target.flags.writeable:
            raise ValueError("The buffer is read-only.")
        at = 0
        for part in self.pieces:
            for piece in part:
                target[at : at + piece.nbytes] = piece
                at += piece.nbytes
        return at


def seal(message: Message) -> Parcel:
    """Make a parcel of a message, without copying its arrays.

    Parameters
    ----------
    message : Message
        With content or error.

    Raises
    ------
    ParcelError
        If something in it cannot be written: a text that is no UTF-8, an id beyond 64 bits, a
        bytes value beyond 4 GiB.
    """
    arrays: list[Arrays] = []
    frames: list[tuple[Bytes, ...]] = []
    at = 0

    def place(record: ArrayRecord) -> int:
        nonlocal at
        if gap := -at % _ALIGNMENT:
            frames.append((zeros(gap),))
            at += gap
        layout = memory.layout_of(record)
        own = list(cut(record, layout))
        arrays.append(Arrays(header_of(layout), [sum(map(_nbytes, frame)) for frame in own]))
        frames.extend(own)
        at += layout.nbytes
        return len(arrays) - 1

    error: tuple[int, str | None] | None = None
    records: Encoded = []
    if message.has_error():
        error = (message.error.code, _printable(message.error.reason))
    else:
        records = encode_records(message.content, place)
    envelope = _Envelope(encode_metadata(message.metadata), error, records, arrays)
    head = _sealed_envelope(envelope)
    return Parcel(((head,), *frames), head.nbytes + at)


def open(buffer: Buffer) -> Message:  # noqa: A001  (settled: the face is `wire.open`)
    """Read a message from a parcel, without copying its arrays.

    Parameters
    ----------
    buffer : bytes, bytearray, memoryview or ndarray
        Exactly one parcel. The message's arrays are views on it: it must not change afterwards.

    Returns
    -------
    Message
        Its arrays are decoded when they are looked at.

    Raises
    ------
    ParcelError
        If the bytes are no parcel, or it was truncated or altered in front of its frames (what
        frames hold is not checked here).
    """
    parcel = np.frombuffer(buffer, np.uint8) if len(buffer) else np.empty(0, np.uint8)
    parcel.flags.writeable = False
    envelope, at = _read_envelope(parcel)
    opened = _open_arrays(envelope.arrays, parcel, at)
    fetched = 0

    def fetch(number: object) -> ArrayRecord:
        nonlocal fetched
        if number != fetched or fetched >= len(opened):
            raise ParcelError(f"The parcel's records name arrays that it does not hold: {number}.")
        fetched += 1
        return opened[fetched - 1]

    metadata = decode_metadata(envelope.metadata)
    content = decode_records(envelope.records, fetch)
    if fetched != len(opened):
        raise ParcelError(f"The parcel holds arrays of {len(opened)} records, not of {fetched}.")
    if envelope.error is not None:
        if content:
            raise ParcelError("The parcel holds an error and a content.")
        return Message(metadata=metadata, error=Error(*envelope.error))
    return Message(metadata=metadata, content=content)


def _sealed_envelope(envelope: _Envelope) -> Bytes:
    encoded = written(envelope)
    nbytes = _HEAD.size + len(encoded)
    nbytes += -nbytes % _ALIGNMENT
    sealed = bytearray(nbytes)
    _HEAD.pack_into(sealed, 0, _MAGIC, 0, len(encoded))
    sealed[_HEAD.size : _HEAD.size + len(encoded)] = encoded
    checksum = zlib.crc32(memoryview(sealed)[_CHECKED_FROM:])
    _HEAD.pack_into(sealed, 0, _MAGIC, checksum, len(encoded))
    return np.frombuffer(memoryview(sealed).toreadonly(), np.uint8)


def _read_envelope(parcel: Bytes) -> tuple[_Envelope, int]:
    """Return the envelope and where it ends."""
    if parcel.nbytes < _HEAD.size:
        raise ParcelError(f"{parcel.nbytes} bytes are less than a parcel's head.")
    magic, checksum, length = _HEAD.unpack_from(parcel.data)
    if magic[:3] != _MAGIC[:3]:
        raise ParcelError(f"These bytes are no parcel: they begin with {magic!r}.")
    if magic != _MAGIC:
        raise ParcelError(
            f"The parcel is of version {magic[3]}; this program reads version {_MAGIC[3]}.",
            hint="Use the same version on both sides.",
        )
    end = _HEAD.size + length
    end += -end % _ALIGNMENT
    if end > parcel.nbytes:
        raise ParcelError(f"The parcel is truncated: {parcel.nbytes} bytes of at least {end}.")
    if zlib.crc32(parcel[_CHECKED_FROM:end].data) != checksum:
        raise ParcelError("The parcel was altered: its checksum is wrong.")
    try:
        return _decode(parcel[_HEAD.size : _HEAD.size + length].data), end
    except (ValueError, RecursionError) as error:  # msgspec's are ValueErrors as well
        raise ParcelError(f"The parcel's envelope cannot be read: {error}") from error


def _open_arrays(arrays: list[Arrays], parcel: Bytes, at: int) -> list[ArrayRecord]:
    """Adopt the records that begin at ``at``; together they must fill the parcel."""
    opened = []
    for number, described in enumerate(arrays):
        begin = at + -at % _ALIGNMENT
        at_next = begin + sum(described.frames)
        if at_next > parcel.nbytes:
            raise ParcelError(
                f"The parcel is truncated: {parcel.nbytes} bytes of at least {at_next}."
            )
        if parcel[at:begin].any():
            raise ParcelError(f"The parcel was altered in front of its array record {number}.")
        try:
            layout = read_layout(bytes(described.layout))
        except (ValueError, RecursionError) as error:
            raise ParcelError(f"Array record {number} cannot be read: {error}") from error
        if layout.nbytes != at_next - begin:
            raise ParcelError(
                f"Array record {number} has {layout.nbytes} bytes, but its frames "
                f"{at_next - begin}."
            )
        opened.append(memory.adopt(layout, parcel[begin:at_next]))
        at = at_next
    if at != parcel.nbytes:
        raise ParcelError(f"The parcel has {parcel.nbytes} bytes, but ends after {at}.")
    return opened


def _nbytes(piece: Bytes) -> int:
    return piece.nbytes


def _printable(reason: str | None) -> str | None:
    """Escape what UTF-8 has no bytes for; a reason is for people to read."""
    return reason and reason.encode(errors="backslashreplace").decode()
