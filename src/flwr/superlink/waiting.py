"""Those who wait: nodes for work, ServerApps for replies and nodes, commands for news."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from flwr.errors import RefusedError
from flwr.transport.call import Refusal

W = TypeVar("W")


def superseded(whose: str) -> RefusedError:
    """Return the refusal of a process that has been replaced by a newer one."""
    return RefusedError(
        Refusal.SUPERSEDED,
        f"A newer process of {whose} is there.",
        hint="If that was not meant, two processes share one identity.",
    )


class Waiters:
    """A condition that several may wait for, each with a deadline of its own."""

    def __init__(self) -> None:
        self._futures: set[asyncio.Future[None]] = set()

    def notify(self) -> None:
        """Have all look again."""
        for future in self._futures:
            _settle(future, None)

    async def wait_for(self, fulfilled: Callable[[], bool], deadline: float) -> None:
        """Wait until the condition is fulfilled, or until `deadline` of the loop's clock."""
        loop = asyncio.get_running_loop()
        while not fulfilled() and loop.time() < deadline:
            future = loop.create_future()
            self._futures.add(future)
            timer = loop.call_at(deadline, _settle, future, None)
            try:
                await future
            finally:
                timer.cancel()
                self._futures.discard(future)


@dataclass
class Course:
    """A live run. It counts what came, so that nothing is missed between two looks."""

    attempt: int = 0  # the newest since the hub's start, if there was one
    replies: int = 0
    told: int = 0  # reports of events and output
    heard: float = 0.0  # when its app process last asked something, of the loop's clock
    over: bool = False
    changed: Waiters = field(default_factory=Waiters)
    _read: tuple[int, int] | None = None  # the last reply that was read, and how many had come

    def has_news(self, after: int) -> bool:
        """Whether the store may have a reply behind a number, so that it is worth a look."""
        return self._read is None or self._read[1] != self.replies or after < self._read[0]

    def read_up_to(self, seq: int, came: int) -> None:
        """Note the last reply in the store, looked for when so many had come."""
        self._read = seq, came


@dataclass
class Parked(Generic[W]):
    """An exchange that waits for work.

    It is woken with work, with an empty list to look for some again, or with None to answer.
    """

    capacity: int
    runs: frozenset[int]  # of which the node keeps something
    woken: "asyncio.Future[list[W] | None]"


class Session(Generic[W]):
    """A node's newest process, and its exchange that waits, if one does.

    Attributes
    ----------
    owed : bool
        The store may have work that the node has not got.
    unsure : bool
        The store may know of messages which the node holds and nobody wants any more; or the
        process is new, and its leases are still those of the one before.
    handed : set of str
        Messages of the last answer. Whether that arrived is seen from the next request.
    over : RefusedError or None
        Why the process must go, if a newer one is there.
    """

    def __init__(self) -> None:
        self.owed = True
        self.unsure = True
        self.handed: set[str] = set()
        self.over: RefusedError | None = None
        self._parked: Parked[W] | None = None

    @property
    def takes_work(self) -> bool:
        """Whether an exchange waits that would take some."""
        parked = self._parked
        return parked is not None and parked.capacity > 0 and not parked.woken.done()

    def keeps(self, run_id: int) -> bool:
        """Whether the exchange that waits says that the node keeps something of a run."""
        return self._parked is not None and run_id in self._parked.runs

    def arrived(self, held: Iterable[str]) -> None:
        """Take note of what a node holds or has done: the rest of what it was handed got lost."""
        self.owed = self.owed or not self.handed.issubset(held)
        self.handed.clear()

    def hand_out(self, rows: list[W]) -> None:
        """Give work to the exchange that waits; what is beyond its capacity is owed."""
        if not self.takes_work or self._parked is None:
            self.owed = True
            return
        taken = rows[: self._parked.capacity]
        self.owed = self.owed or len(taken) < len(rows)
        self._parked.woken.set_result(taken)

    def owe(self) -> None:
        """Note that the store has work; an exchange that waits looks for it."""
        self.owed = True
        if self.takes_work and self._parked is not None:
            self._parked.woken.set_result([])

    def answer_parked(self) -> None:
        """End the exchange that waits without work."""
        if self._parked is not None:
            _settle(self._parked.woken, None)

    def supersede(self, error: RefusedError) -> None:
        """Send the process away."""
        self.over = error
        self.answer_parked()

    async def park(self, capacity: int, runs: frozenset[int], deadline: float) -> list[W] | None:
        """Wait for work until a deadline, or until the node should hear something else.

        Only one exchange of a node waits: the one before is answered.

        Returns
        -------
        list or None
            Work; an empty list if the store has some; None if it is time to answer.
        """
        self.answer_parked()
        loop = asyncio.get_running_loop()
        parked: Parked[W] = Parked(capacity, runs, loop.create_future())
        self._parked = parked
        timer = loop.call_at(deadline, _settle, parked.woken, None)
        try:
            return await parked.woken
        finally:
            timer.cancel()
            if self._parked is parked:
                self._parked = None


def _settle(future: "asyncio.Future[W]", result: W) -> None:
    if not future.done():
        future.set_result(result)
