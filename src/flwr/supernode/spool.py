"""What a node must not lose: finished replies, and the contexts of its runs.

A reply and the context that its message left are written into one file as one step: checksums
tell whether all of it is there. Large parts of the reply are objects in ``spool/objects``, on
disk before the file that names them. A file is written over once neither its reply nor its state
is needed, so that keeping a reply changes no folder, which costs several times as much as the
content. That a reply is needed no more is written with the next one; should that not come about,
it is sent once more.
"""

import contextlib
import os
import re
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from flwr.errors import ParcelError
from flwr.runtime.codec import StoredState
from flwr.supernode import spoolfile
from flwr.supernode.spoolfile import Entry
from flwr.transport.fleet import Reply
from flwr.transport.parts import Body

_OBJECT_ID = re.compile(r"[0-9a-f]{64}")
_MESSAGE_ID = re.compile(r"[0-9A-Za-z_-]{1,100}")
_FREE_FILES = 4  # that are kept to be written over
_FREE_BYTES = 1 << 20  # the largest of them


@dataclass(eq=False)
class _Slot:
    """A file of the spool, and what is needed of it."""

    path: Path
    message_id: str = ""
    run_id: int = 0
    reply: Reply | None = None  # until it is settled
    turn: int = 0  # of the state in it, 0 if there is none
    nbytes: int = 0


class _Kept(threading.local):
    """The objects that each thread has put into the spool."""

    def __init__(self) -> None:
        self.kept: list[str] = []


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
        self._folder = folder / "spool"
        self.objects = self._folder / "objects"
        self._lock = threading.Lock()
        self._slots: dict[str, _Slot] = {}  # by message id: a reply or the newest state is in it
        self._free: list[_Slot] = []
        self._numbers = 0
        self._turns: dict[int, int] = {}  # of the newest state of each run
        self._loose: Counter[str] = Counter()  # objects whose reply is not spooled yet
        self._here = _Kept()
        self.objects.mkdir(parents=True, exist_ok=True)
        self._restore()

    # -- what is there

    def replies(self) -> list[Reply]:
        """Return the replies that are spooled."""
        with self._lock:
            return [slot.reply for slot in self._slots.values() if slot.reply is not None]

    def reply(self, message_id: str) -> Reply | None:
        """Return a reply that is spooled."""
        with self._lock:
            slot = self._slots.get(message_id)
            return None if slot is None else slot.reply

    def runs(self) -> set[int]:
        """Return the runs of which something is kept."""
        with self._lock:
            return {slot.run_id for slot in self._slots.values()}

    def state(self, run_id: int) -> StoredState | None:
        """Return the newest state of a run; ``None`` if it is empty."""
        with self._lock:
            for slot in self._slots.values():
                if slot.run_id == run_id and slot.turn and slot.turn == self._turns[run_id]:
                    return spoolfile.read_state(slot.path)
        return None

    # -- objects

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
        if path.exists():
            return
        new = path.with_name(f"{object_id}.new")
        try:
            spoolfile.write(new, [data])
            new.replace(path)
            spoolfile.flush_folder(self.objects)
        except BaseException:
            for unfinished in (new, path):
                with contextlib.suppress(OSError):
                    unfinished.unlink()
            raise

    def adopt_object(self, object_id: str, path: Path) -> None:
        """Keep a large part of a reply that is a file already, on the same file system."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        path.replace(self._place(object_id))
        spoolfile.flush_folder(self.objects)

    def _place(self, object_id: str) -> Path:
        """Return an object's file, which stays for as long as this thread keeps."""
        with self._lock:
            self._loose[object_id] += 1
        self._here.kept.append(object_id)
        return self.objects / object_id

    def _sweep(self, objects: Iterable[str]) -> None:
        """Remove those of some objects that nobody needs."""
        needed: set[str] = set()
        for slot in self._slots.values():
            needed.update(objects_of(slot.reply.body) if slot.reply else ())
        for object_id in objects:
            if object_id not in needed and object_id not in self._loose:
                (self.objects / object_id).unlink(missing_ok=True)

    # -- replies and states

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
        if not _MESSAGE_ID.fullmatch(reply.message_id):
            raise ParcelError(f"{reply.message_id!r} is not the id of a message.")
        with self._lock:
            slot, is_new = self._take_slot()
            turn = self._turns.get(reply.run_id, 0) + changed
            others = (*self._slots.values(), *self._free)
            settled = [other.message_id for other in others if other.reply is None]
        slot.message_id, slot.run_id = reply.message_id, reply.run_id
        slot.reply, slot.turn = reply, turn if changed else 0
        kept = spoolfile.seal(state) if changed else None
        parts = spoolfile.parts_of(
            Entry(reply, slot.turn, kept, settled), state if changed else None
        )
        slot.nbytes = max(slot.nbytes, sum(part.nbytes for part in parts))
        try:
            spoolfile.write(slot.path, parts)
            if is_new:
                spoolfile.flush_folder(self._folder)
        except BaseException:
            with contextlib.suppress(OSError):
                slot.path.unlink()
            raise
        with self._lock:
            self._slots[reply.message_id] = slot
            if changed:
                self._turns[reply.run_id] = turn
                self._free_older(reply.run_id)

    def settle(self, message_id: str) -> None:
        """Let a reply go that the hub has, or that nobody wants; its state stays."""
        with self._lock:
            slot = self._slots.get(message_id)
            if slot is None or slot.reply is None:
                return
            objects, slot.reply = objects_of(slot.reply.body), None
            if not slot.turn or slot.turn != self._turns[slot.run_id]:
                self._give_back(slot)
            if objects:
                self._sweep(objects)

    def drop_run(self, run_id: int) -> None:
        """Let everything of a run go."""
        with self._lock:
            for slot in [slot for slot in self._slots.values() if slot.run_id == run_id]:
                del self._slots[slot.message_id]
                slot.path.unlink(missing_ok=True)
                if slot.reply is not None:
                    self._sweep(objects_of(slot.reply.body))
            for slot in [slot for slot in self._free if slot.run_id == run_id]:
                self._free.remove(slot)
                slot.path.unlink(missing_ok=True)
            self._turns.pop(run_id, None)

    def _take_slot(self) -> tuple[_Slot, bool]:
        """Return a file that may be written, and whether it has to be made."""
        if self._free:
            return self._free.pop(), False
        self._numbers += 1
        return _Slot(self._folder / str(self._numbers)), True

    def _free_older(self, run_id: int) -> None:
        """Give the files back that held nothing but an older state of a run."""
        older = [
            slot
            for slot in self._slots.values()
            if slot.run_id == run_id and slot.reply is None and slot.turn != self._turns[run_id]
        ]
        for slot in older:
            self._give_back(slot)

    def _give_back(self, slot: _Slot) -> None:
        self._slots.pop(slot.message_id, None)
        if len(self._free) < _FREE_FILES and slot.nbytes <= _FREE_BYTES:
            self._free.append(slot)
        else:
            slot.path.unlink(missing_ok=True)

    # -- after a start

    def _restore(self) -> None:
        """Read what is there; what was being written when the node ended goes."""
        over: set[str] = set()
        for path in sorted(self._folder.iterdir()):
            if not path.name.isdecimal():
                continue
            self._numbers = max(self._numbers, int(path.name))
            slot, entry = _Slot(path, nbytes=path.stat().st_size), spoolfile.read(path)
            if entry is None:
                self._give_back(slot)
                continue
            reply = entry.reply
            slot.message_id, slot.run_id = reply.message_id, reply.run_id
            slot.reply, slot.turn = reply, entry.turn
            over.update(entry.settled)
            self._slots[slot.message_id] = slot
            if slot.turn > self._turns.get(slot.run_id, 0):
                self._turns[slot.run_id] = slot.turn
        for slot in list(self._slots.values()):
            if slot.message_id in over or not self._is_whole(slot):
                slot.reply = None
                if slot.turn != self._turns.get(slot.run_id):
                    self._give_back(slot)
        self._sweep([path.name for path in self.objects.iterdir()])

    def _is_whole(self, slot: _Slot) -> bool:
        """Whether the reply's objects are there: they go when it is settled."""
        assert slot.reply is not None
        return all((self.objects / key).exists() for key in objects_of(slot.reply.body))


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
