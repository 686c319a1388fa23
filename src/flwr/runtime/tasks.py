"""Messages on their way to workers: tasks, and contents as they were when they were pushed."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import numpy as np

from flwr.app import ArrayRecord, Error, Message, RecordDict, memory
from flwr.app.layout import Layout
from flwr.runtime.channel import padded
from flwr.runtime.codec import INLINE_LIMIT, encode_content
from flwr.runtime.segments import Bytes, Held, Segment, SegmentPool

Answer = Callable[["Task", Message | Error, float], None]


class Task:
    """One message for one node, on its way through the pool.

    Parameters
    ----------
    message : Message
        The instruction, taken as it is now: what becomes of the object later does not matter.
    node_config : dict
        The context's ``node_config``.
    seed : int
        For the random generators of the process that handles it.
    answer : callable
        Called once with the task, the reply or error, and the seconds of client time.
    place : tuple, optional
        Whatever ``answer`` needs to know which message this was.
    together : bool
        Whether the replies of this push are known to be held together until the last is there.
    """

    __slots__ = (
        "answer", "attempts", "cancelled", "content", "lease", "metadata", "node_config", "node_id",
        "place", "records", "seed", "seq", "together",
    )  # fmt: skip

    def __init__(
        self,
        message: Message,
        node_config: Mapping[str, Any],
        seed: int,
        answer: Answer,
        place: Any = None,
        *,
        together: bool = False,
    ) -> None:
        self.metadata = message.metadata.snapshot()
        self.records: RecordDict | None = message.content  # until a pool has taken it
        self.node_id: int = self.metadata.dst_node_id
        self.node_config = node_config
        self.seed = seed
        self.answer = answer
        self.place = place
        self.together = together
        self.seq = 0
        self.attempts = 0
        self.cancelled = False
        self.content: Outgoing | None = None
        self.lease: list[Lease] = []

    def take_content(self) -> RecordDict:
        """Return the content and let go of it."""
        records, self.records = self.records, None
        assert records is not None
        return records

    def finish(self, reply: Message | Error, seconds: float) -> None:
        """Let go of everything, and answer unless cancelled."""
        self.lease.clear()
        self.content = None
        answer, self.answer = self.answer, _nobody  # no way back from a task that is done
        if not self.cancelled:
            answer(self, reply, seconds)


def _nobody(task: Task, reply: Message | Error, seconds: float) -> None:
    """Stand in for the answer of a task that has been answered."""


class TaskPool(Protocol):
    """What handles tasks: worker processes, or the calling thread in debug mode."""

    @property
    def news(self) -> int:
        """A number that changes when something has happened."""

    def submit(self, tasks: Iterable[Task]) -> None:
        """Take tasks, in order."""

    def cancel(self, tasks: Iterable[Task]) -> None:
        """Answer none of these any more."""

    def pump(self, timeout: float | None, seen: int) -> None:
        """Wait for something to happen after ``news`` was ``seen``, and deal with it."""

    def keep_going(self) -> None:
        """Let tasks go on while nobody pumps, if this kind of pool can."""

    def close(self) -> None:
        """End everything."""


class Lease:
    """Keeps a slot in use while a worker may write to it."""

    __slots__ = ("__weakref__", "segment")

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        segment.watch(self)


class OutgoingArrays:
    """The arrays of a record on their way out; large ones lie in a shared segment when sent."""

    __slots__ = ("backing", "layout", "nbytes", "record", "uses")

    def __init__(self, record: ArrayRecord) -> None:
        self.layout: Layout = memory.layout_of(record)
        self.nbytes = self.layout.nbytes
        if memory.backing_of(record) is None:
            memory.packed(record)
        self.backing: Any = memory.backing_of(record)
        self.record = record
        self.uses = 0  # messages

    @property
    def is_large(self) -> bool:
        """Whether the arrays travel in shared memory."""
        return self.nbytes >= INLINE_LIMIT

    def bytes(self) -> Bytes:
        """Return the arrays' bytes."""
        backing = self.backing
        return backing if isinstance(backing, np.ndarray) else backing.open()

    def held(self) -> Held | None:
        """Return the arrays' place in shared memory, if they have one that can be sent."""
        held = self.backing
        if isinstance(held, Held) and held.segment is not None and not held.segment.retired:
            return held
        return None

    def put(self, segment: Segment, offset: int) -> None:
        """Write the arrays into a segment, which is their place from now on."""
        segment.open(offset, self.nbytes, writable=True)[:] = self.bytes()
        held = Held(segment, self.nbytes, offset)
        if self.uses > 1 and memory.backing_of(self.record) is self.backing:
            memory.rebase(self.record, held)  # its own copy would be a second one
        self.backing = held


class Outgoing:
    """A content as it was when it was pushed, encoded once for all messages that share it.

    Parameters
    ----------
    content : RecordDict
        The content.
    known : dict
        Arrays of other contents of this push, by the identity of their memory; added to.
    """

    __slots__ = ("arrays", "large_bytes", "records", "small_bytes")

    def __init__(self, content: RecordDict, known: dict[int, OutgoingArrays]) -> None:
        self.records, records = encode_content(content)
        self.arrays: list[OutgoingArrays] = []
        for record in records:
            arrays = OutgoingArrays(record)
            self.arrays.append(known.setdefault(id(arrays.backing), arrays))
        self.large_bytes = sum(a.nbytes for a in self.arrays if a.is_large)
        self.small_bytes = sum(a.nbytes for a in self.arrays if not a.is_large)
        self.small_bytes += len(bytes(self.records))

    def used(self) -> None:
        """Count one more message with this content."""
        for arrays in self.arrays:
            arrays.uses += 1

    def share(self, pool: SegmentPool) -> None:
        """Bring all large arrays into shared memory: those that are not there, into one segment."""
        missing = [a for a in self.arrays if a.is_large and a.held() is None]
        if missing:
            segment, offset = pool.take(sum(padded(a.nbytes) for a in missing)), 0
            lease = Lease(segment)
            for arrays in missing:
                arrays.put(segment, offset)
                offset += padded(arrays.nbytes)
            del lease
