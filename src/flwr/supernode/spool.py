"""What a node must not lose: finished replies, and the contexts of its runs.

A reply and the context that its message left are one file, ``spool/<message id>``, written
beside, renamed and flushed: it is there whole, which checksums tell, or it is not. Large parts of
the reply are objects in ``spool/objects``, on disk before the file that names them. When the hub
has the reply, the file becomes ``contexts/<run id>`` by another rename, or goes if the message
left the context alone.
"""

import contextlib
import os
import re
import struct
import threading
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np

from flwr.errors import HomeError, ParcelError
from flwr.runtime.codec import StoredState
from flwr.transport.fleet import Reply
from flwr.transport.parts import Body

_MAGIC = b"WFS\x01"
_HEAD = struct.Struct("<4sII")  # magic, length of the header, its CRC-32
_OBJECT_ID = re.compile(r"[0-9a-f]{64}")
_MESSAGE_ID = re.compile(r"[0-9A-Za-z_-]{1,100}")
_PIECE = 8 << 20  # bytes written at a time


class _State(msgspec.Struct, frozen=True, omit_defaults=True):
    """A context's state: its records, and the bytes of its arrays behind the header."""

    records: bytes = b""
    nbytes: int = 0
    checksum: int = 0  # CRC-32 of these bytes


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the header of a spool file holds."""

    reply: Reply
    turn: int = 0  # counts the messages of a run that changed its state
    state: _State | None = None  # none if the message left it alone


class _Kept(threading.local):
    """The objects that each thread has put into the spool."""

    def __init__(self) -> None:
        self.kept: list[str] = []


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Entry).decode


class Spool:
    """The folder of a node's replies and contexts. Threads may share it.

    Parameters
    ----------
    folder : Path
        The node's state folder.

    Attributes
    ----------
    objects : Path
        The folder of the replies' large parts.
    """

    def __init__(self, folder: Path) -> None:
        self._replies = folder / "spool"
        self._contexts = folder / "contexts"
        self.objects = self._replies / "objects"
        self._lock = threading.Lock()
        self._entries: dict[str, Entry] = {}
        self._loose: Counter[str] = Counter()  # objects whose reply is not spooled yet
        self._here = _Kept()
        self._turns: dict[int, int] = {}  # of the newest state of each run
        for path in (self.objects, self._contexts):
            path.mkdir(parents=True, exist_ok=True)
        self._restore()

    # -- what is there

    def replies(self) -> list[Reply]:
        """Return the replies that are spooled."""
        with self._lock:
            return [entry.reply for entry in self._entries.values()]

    def reply(self, message_id: str) -> Reply | None:
        """Return a reply that is spooled."""
        with self._lock:
            entry = self._entries.get(message_id)
        return None if entry is None else entry.reply

    def runs(self) -> set[int]:
        """Return the runs of which something is kept."""
        with self._lock:
            return {entry.reply.run_id for entry in self._entries.values()} | set(self._turns)

    def state(self, run_id: int) -> StoredState | None:
        """Return the newest state of a run; ``None`` if it is empty."""
        with self._lock:
            turn = self._turns.get(run_id)
            if turn is None:
                return None
            for message_id, entry in self._entries.items():
                if entry.reply.run_id == run_id and entry.turn == turn and entry.state:
                    return _read_state(self._replies / message_id)
            return _read_state(self._contexts / str(run_id))

    # -- what changes

    @contextlib.contextmanager
    def keeping(self) -> Iterator[None]:
        """Let the objects that this thread puts here go at the end, but those of spooled replies.

        Until then nobody takes them away, as a settled reply that had the same ones would.
        """
        kept: list[str] = []
        self._here.kept = kept
        try:
            yield
        finally:
            self._here.kept = []
            with self._lock:
                self._loose.subtract(kept)
                self._loose += Counter()  # less what nobody keeps
                self._sweep(kept)

    def put_object(self, object_id: str, data: memoryview) -> None:
        """Keep a large part of a reply; on disk when this returns."""
        path = self._place(object_id)
        if not path.exists():
            _write(path, [data])
            _flush_folder(self.objects)

    def adopt_object(self, object_id: str, path: Path) -> None:
        """Keep a large part of a reply that is a file already, on the same file system."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        path.replace(self._place(object_id))
        _flush_folder(self.objects)

    def _place(self, object_id: str) -> Path:
        """Return an object's file, which stays for as long as this thread keeps."""
        with self._lock:
            self._loose[object_id] += 1
        self._here.kept.append(object_id)
        return self.objects / object_id

    def put(self, reply: Reply, state: StoredState | None, *, changed: bool) -> None:
        """Keep a reply and the state that its message left; on disk when this returns.

        Parameters
        ----------
        reply : Reply
            Its large parts are kept already.
        state : StoredState, optional
            ``None``: it is empty.
        changed : bool
            Whether the state is another than before.
        """
        _check(reply.message_id)
        frames: list[memoryview] = []
        kept = None
        with self._lock:
            turn = self._turns.get(reply.run_id, 0)
        if changed:
            turn += 1
            kept = _State()
            if state is not None:
                frames = [memoryview(state.frames.data)]
                kept = _State(state.records, state.frames.nbytes, zlib.crc32(frames[0]))
        entry = Entry(reply, turn, kept)
        header = _encode(entry)
        head = _HEAD.pack(_MAGIC, len(header), zlib.crc32(header))
        _write(self._replies / reply.message_id, [memoryview(head + header), *frames])
        _flush_folder(self._replies)
        with self._lock:
            self._entries[reply.message_id] = entry
            if changed:
                self._turns[reply.run_id] = turn

    def settle(self, message_id: str) -> None:
        """Let a reply go that the hub has, or that nobody wants; its state stays."""
        with self._lock:
            entry = self._entries.pop(message_id, None)
            if entry is None:
                return
            path = self._replies / message_id
            run_id = entry.reply.run_id
            newest = entry.turn == self._turns.get(run_id)
            if entry.state is not None and newest:
                path.replace(self._contexts / str(run_id))  # should it be undone: sent once more
            else:
                path.unlink(missing_ok=True)
            self._sweep(objects_of(entry.reply.body))

    def drop_run(self, run_id: int) -> None:
        """Let everything of a run go."""
        with self._lock:
            for message_id in [k for k, e in self._entries.items() if e.reply.run_id == run_id]:
                entry = self._entries.pop(message_id)
                (self._replies / message_id).unlink(missing_ok=True)
                self._sweep(objects_of(entry.reply.body))
            self._turns.pop(run_id, None)
            (self._contexts / str(run_id)).unlink(missing_ok=True)

    def _sweep(self, objects: Iterable[str]) -> None:
        """Remove those of some objects that nobody needs."""
        needed = {key for entry in self._entries.values() for key in objects_of(entry.reply.body)}
        for object_id in objects:
            if object_id not in needed and object_id not in self._loose:
                (self.objects / object_id).unlink(missing_ok=True)

    # -- after a start

    def _restore(self) -> None:
        """Read what is there; what was being written when the node ended goes."""
        for path in sorted(self._contexts.iterdir()):
            entry = None if path.suffix else _read(path)
            if entry is None or entry.state is None:
                path.unlink()
            else:
                self._turns[entry.reply.run_id] = entry.turn
        for path in sorted(self._replies.iterdir()):
            if path.is_dir():
                continue
            entry = None if path.suffix else _read(path)
            if entry is None:
                path.unlink()
                continue
            self._entries[path.name] = entry
            run_id = entry.reply.run_id
            if entry.state is not None:
                self._turns[run_id] = max(entry.turn, self._turns.get(run_id, 0))
        needed = {key for entry in self._entries.values() for key in objects_of(entry.reply.body)}
        for path in self.objects.iterdir():
            if path.name not in needed:
                path.unlink()


def objects_of(body: Body | None) -> list[str]:
    """Return the ids of a body's large parts."""
    return [part.object_id for part in body.parts if part.object_id] if body else []


def check_object_id(object_id: str) -> str:
    """Return an object's id, which becomes the name of a file.

    Raises
    ------
    ParcelError
        If it is none.
    """
    if not _OBJECT_ID.fullmatch(object_id):
        raise ParcelError(f"{object_id!r} is not the id of an object.")
    return object_id


def _check(message_id: str) -> None:
    if not _MESSAGE_ID.fullmatch(message_id):
        raise ParcelError(f"{message_id!r} is not the id of a message.")


def _write(path: Path, parts: Sequence[memoryview]) -> None:
    """Write a file that is on disk once its folder is flushed, too.

    It has its name before it is flushed: so one commit of the file system's journal does for
    both. What a loss of power leaves then may be less than the whole; readers can tell.
    """
    new = path.with_name(path.name + ".new")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            for part in parts:
                rest = part.cast("B")
                while rest:
                    rest = rest[os.write(descriptor, rest[:_PIECE]) :]
            new.replace(path)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        for unfinished in (new, path):
            with contextlib.suppress(OSError):
                unfinished.unlink()
        raise HomeError(
            f"{path} cannot be written: {error.strerror}",
            hint="A node keeps its replies on disk until the hub has them.",
        ) from error


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> Entry | None:
    """Return the header of a spool file; ``None`` if it is damaged."""
    with path.open("rb") as file:
        head = file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            return None
        magic, length, checksum = _HEAD.unpack(head)
        header = file.read(length)
        if magic != _MAGIC or len(header) != length or zlib.crc32(header) != checksum:
            return None
        try:
            entry = _decode(header)
        except msgspec.MsgspecError:
            return None
        state = entry.state or _State()
        return entry if _holds(file, state.nbytes, state.checksum) else None


def _holds(file: BinaryIO, nbytes: int, checksum: int) -> bool:
    """Whether the rest of a file is that long, and what was written."""
    found = 0
    while piece := file.read(_PIECE):
        nbytes -= len(piece)
        found = zlib.crc32(piece, found)
    return nbytes == 0 and found == checksum


def _read_state(path: Path) -> StoredState | None:
    entry = _read(path)
    if entry is None or entry.state is None or not entry.state.records:
        return None
    offset = path.stat().st_size - entry.state.nbytes
    frames = np.fromfile(path, np.uint8, entry.state.nbytes, offset=offset)
    return StoredState(entry.state.records, frames)
