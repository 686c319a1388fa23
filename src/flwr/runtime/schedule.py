"""Which task goes next, and how many go at once: decisions without I/O."""

import heapq
import itertools
from collections import deque

from flwr.runtime.tasks import Task

_BATCH_SECONDS = (0.0007, 0.003)  # client time that one dispatch carries: a wake-up costs 0.1 ms
_QUICK = 0.002  # seconds of client time below which messages are batched, and sent ahead


class TaskQueue:
    """Tasks in the order in which they came, of each node one at a time.

    Attributes
    ----------
    unfinished : int
        Tasks that were added and are not done, handed out or not.
    """

    def __init__(self) -> None:
        self.unfinished = 0
        self._numbers = itertools.count()
        self._ready: list[tuple[int, Task]] = []
        self._waiting: dict[int, deque[Task]] = {}  # for the task of their node that is under way
        self._busy_nodes: set[int] = set()

    def __len__(self) -> int:
        """Return how many tasks may be handed out, cancelled ones included."""
        return len(self._ready)

    def add(self, task: Task) -> None:
        """Give a task the next number, and its place behind all others."""
        task.seq = next(self._numbers)
        self.unfinished += 1
        if task.node_id in self._busy_nodes:
            self._waiting.setdefault(task.node_id, deque()).append(task)
        else:
            self._busy_nodes.add(task.node_id)
            self.put_back(task)

    def put_back(self, task: Task) -> None:
        """Put a task that was taken where it was."""
        heapq.heappush(self._ready, (task.seq, task))

    def first(self) -> Task | None:
        """Return the task to hand out next; cancelled ones are done."""
        while self._ready:
            task = self._ready[0][1]
            if not task.cancelled:
                return task
            heapq.heappop(self._ready)
            self.done(task)
        return None

    def take(self) -> Task:
        """Take the task that `first` returned."""
        return heapq.heappop(self._ready)[1]

    def done(self, task: Task) -> None:
        """Let the next task of the same node go."""
        self.unfinished -= 1
        waiting = self._waiting.get(task.node_id)
        if waiting:
            self.put_back(waiting.popleft())
        else:
            self._waiting.pop(task.node_id, None)
            self._busy_nodes.discard(task.node_id)


class Pace:
    """What messages of each type have taken so far, in time and in memory."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._reply_bytes: dict[str, int] = {}

    def saw(self, kind: str, seconds: float) -> None:
        """Learn how long a message took."""
        self._seconds[kind] = 0.7 * self._seconds.get(kind, seconds) + 0.3 * seconds

    def saw_reply(self, kind: str, nbytes: int) -> None:
        """Learn how large the largest arrays of a reply were that lay in shared memory."""
        self._reply_bytes[kind] = nbytes

    def saw_need(self, kind: str, nbytes: int) -> None:
        """Learn that a reply needs more shared memory than was expected."""
        self._reply_bytes[kind] = max(self._reply_bytes.get(kind, 0), nbytes)

    def expected_bytes(self, task: Task) -> int:
        """Return how much shared memory a task's reply will need; at first, what was sent."""
        assert task.content is not None
        return self._reply_bytes.get(task.metadata.message_type, task.content.large_bytes)

    def is_quick(self, task: Task) -> bool:
        """Whether messages like this one take no time worth speaking of, and little memory."""
        assert task.content is not None
        kind = task.metadata.message_type
        small = not task.content.large_bytes and not self._reply_bytes.get(kind)
        return small and self._seconds.get(kind, 1.0) < _QUICK

    def batch_size(self, task: Task, waiting: int, workers: int, free: int) -> int:
        """Return how many tasks one dispatch should carry.

        Parameters
        ----------
        task : Task
            The first of them.
        waiting : int
            How many there are to hand out.
        workers : int
            The most workers.
        free : int
            Workers beside the one that they are for that have no work.
        """
        if not self.is_quick(task):
            return 1
        pace = max(self._seconds[task.metadata.message_type], 1e-6)
        fair = -(-waiting // (free + 1))  # clients may be slower than they were: leave their share
        at_least, at_most = (int(seconds / pace) for seconds in _BATCH_SECONDS)
        return max(1, min(at_most, fair, max(at_least, -(-waiting // (2 * workers)))))
