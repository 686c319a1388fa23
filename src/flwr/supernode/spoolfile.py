"""How a reply and a state lie in a file: a header and the state's bytes, each with a checksum.

::

    magic and version   4 bytes   b"WFS" and 2
    length              4 bytes   of the header
    checksum            4 bytes   CRC-32 of the header
    header                        msgpack, an Entry
    state                         as many bytes as the header says

What follows is what was there before: files are written over, not anew.
"""

import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from flwr.errors import HomeError
from flwr.runtime.codec import StoredState
from flwr.transport.fleet import Reply

_MAGIC = b"WFS\x02"
_HEAD = struct.Struct("<4sII")
_PIECE = 8 << 20  # bytes read or written at a time

# Where the file keeps its size, that flushes the content only: half the time, or less.
_flush_content = getattr(os, "fdatasync", os.fsync)


class State(msgspec.Struct, frozen=True, omit_defaults=True):
    """A context's state: its records, and the bytes of its arrays behind the header."""

    records: bytes = b""
    nbytes: int = 0
    checksum: int = 0  # CRC-32 of these bytes


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the header holds."""

    reply: Reply
    turn: int = 0  # counts the messages of a run that changed its state
    state: State | None = None  # none if the message left it alone
    settled: list[str] = []  # messages whose replies lie in other files, and are needed no more


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Entry).decode


def parts_of(entry: Entry, state: StoredState | None) -> list[memoryview]:
    """Return what is written for an entry whose header says all but the state's bytes."""
    frames = [] if state is None else [memoryview(state.frames.data)]
    header = _encode(entry)
    head = _HEAD.pack(_MAGIC, len(header), zlib.crc32(header))
    return [memoryview(head + header), *frames]


def seal(state: StoredState | None) -> State:
    """Return what the header says of a state."""
    if state is None:
        return State()
    content = memoryview(state.frames.data)
    return State(state.records, content.nbytes, zlib.crc32(content))


def write(path: Path, parts: Sequence[memoryview]) -> None:
    """Write over a file, or make it; its content is on disk when this returns.

    Raises
    ------
    HomeError
        If it cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            for part in parts:
                rest = part.cast("B")
                while rest:
                    rest = rest[os.write(descriptor, rest[:_PIECE]) :]
            _flush_content(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise HomeError(
            f"{path} cannot be written: {error.strerror}",
            hint="A node keeps its replies on disk until the hub has them.",
        ) from error


def flush_folder(folder: Path) -> None:
    """Have the names of a folder's files on disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(path: Path) -> Entry | None:
    """Return the header of a file; ``None`` if anything of it is not as it was written."""
    with path.open("rb") as file:
        head = file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            return None
        magic, length, checksum = _HEAD.unpack(head)
        if magic != _MAGIC or length > os.fstat(file.fileno()).st_size:
            return None
        header = file.read(length)
        if zlib.crc32(header) != checksum:
            return None
        try:
            entry = _decode(header)
        except msgspec.MsgspecError:
            return None
        state = entry.state or State()
        rest, found = state.nbytes, 0
        while rest and (piece := file.read(min(rest, _PIECE))):
            rest -= len(piece)
            found = zlib.crc32(piece, found)
    return entry if not rest and found == state.checksum else None


def read_state(path: Path) -> StoredState | None:
    """Return the state in a file; ``None`` if it is empty, or there is none."""
    entry = read(path)
    if entry is None or entry.state is None or not entry.state.records:
        return None
    with path.open("rb") as file:
        _, length, _ = _HEAD.unpack(file.read(_HEAD.size))
    offset = _HEAD.size + length
    frames = np.fromfile(path, np.uint8, entry.state.nbytes, offset=offset)
    return StoredState(entry.state.records, frames)
