"""Shared memory that is lent to workers for the arrays of their replies."""

from flwr.runtime.segments import Held, Segment, SegmentPool
from flwr.runtime.spill import SpillFile
from flwr.runtime.tasks import Lease, Task

HELD_BYTES = 64 << 20  # up to this much, and so many, held replies stay in shared memory
_FREE_SLOTS = 64


class Slots:
    """Lends segments for replies; replies that user code holds are spilled to make room.

    Parameters
    ----------
    workers : int
        The most workers: each needs a slot, whatever is held.
    together_bytes : int
        What may stay in shared memory of replies that are known to be held together.

    Attributes
    ----------
    segments : SegmentPool
        What is lent, and what carries the contents that are sent.
    """

    def __init__(self, workers: int, together_bytes: int = HELD_BYTES) -> None:
        self.workers = workers
        self._together_bytes = together_bytes
        self.segments = SegmentPool()
        self._spill = SpillFile()

    def lend(self, task: Task, nbytes: int, mapped: set[int]) -> Segment:
        """Return a segment for a task's reply, if possible one that its worker has mapped."""
        in_use = [s for s in self.segments if s.turn is not None and s.in_use]
        many = len(in_use) > self.workers + _FREE_SLOTS
        most = self._together_bytes if task.together else HELD_BYTES
        much = len(in_use) > self.workers and sum(s.nbytes for s in in_use) > most
        if many or much:
            self._spill_one(in_use)
        segment = self.segments.take(nbytes, prefer=mapped)
        segment.turn = task.seq
        task.lease.append(Lease(segment))
        return segment

    def _spill_one(self, in_use: list[Segment]) -> None:
        """Move the reply that will be read last, of those that nobody is reading, to a file."""
        for segment in sorted(in_use, key=lambda s: s.turn or 0, reverse=True):
            holders = segment.holders()
            if holders and all(isinstance(holder, Held) for holder in holders):
                for holder in holders:
                    assert isinstance(holder, Held)
                    holder.move(self._spill.put)
                return
