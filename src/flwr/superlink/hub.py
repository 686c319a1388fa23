"""What the hub keeps in memory: who waits for what. Everything that must last is in the store.

All of it belongs to one event loop. Waiting is on a future with a deadline; nothing polls.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from logging import ERROR, INFO
from typing import Any, Protocol, TypeVar

from flwr.app.error import ErrorCode
from flwr.clock import unix_now
from flwr.errors import RefusedError, StoreError
from flwr.log import log
from flwr.store.hub import HubStore
from flwr.store.hubrecords import LeasedRow, NodeRow
from flwr.superlink.presence import AWAY_SECONDS, Presence
from flwr.superlink.waiting import Course, Session, Waiters, superseded
from flwr.transport.call import Refusal

T = TypeVar("T")

TELL_AWAY_SECONDS = 2.0  # a node that is away for so long is told of to the runs that wait for it
LONG_GONE_SECONDS = 90 * 86400.0  # after so long, nobody expects a node back
RETRY_SECONDS = 2.0  # after the database could not be written


class AtEndOfRun(Protocol):
    """Called with the id of a run that ends, and whether it was stopped from outside."""

    def __call__(self, run_id: int, *, stopped: bool) -> None:
        """Take note of it."""


class AtEndOfNode(Protocol):
    """Called with the id of a node that is forgotten."""

    def __call__(self, node_id: int) -> None:
        """Take note of it."""


class Hub:
    """The state in memory of one SuperLink. Made by :meth:`open`.

    Attributes
    ----------
    store : HubStore
        What lasts.
    nodes : dict of int to NodeRow
        All that ever said hello.
    courses : dict of int to Course
        The live runs.
    presence : Presence
        Which nodes are online.
    arrivals : Waiters
        Those who wait for nodes.
    closing : bool
        Whether the hub is going down: nobody is made to wait any more.
    """

    def __init__(self, store: HubStore, nodes: Iterable[NodeRow], live: Iterable[int]) -> None:
        self.store = store
        self.nodes = {row.node_id: row for row in nodes}
        self.courses = {run_id: Course() for run_id in live}
        self.arrivals = Waiters()
        self.closing = False
        self._loop = asyncio.get_running_loop()
        online = [node_id for node_id, row in self.nodes.items() if row.online]
        self.presence = Presence(online, self._loop.time())
        self._sessions: dict[int, Session[LeasedRow]] = {}
        self._came: set[int] = set()  # online, and not written down yet
        self._marking = False
        self._gone: set[int] = set()  # offline, and their messages have not failed yet
        self._expiry: float | None = None  # when a message will next end unanswered, Unix seconds
        self._timer: asyncio.TimerHandle | None = None
        self._lost_after: float | None = None  # seconds; see Settings
        self._told_away: dict[int, set[int]] = {}  # by node, the runs that were told
        self._tell_timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._at_end_of_run: list[AtEndOfRun] = []
        self._at_end_of_node: list[AtEndOfNode] = []

    @classmethod
    async def open(cls, store: HubStore, lost_after: float | None = None) -> "Hub":
        """Take up what the store says: nodes count as away from now, live runs go on."""
        nodes = await store.nodes()
        live = await store.list_runs(live=True)
        hub = cls(store, nodes, [run.run_id for run in live])
        hub._lost_after = lost_after
        hub._expiry = await store.next_expiry()
        hub._set_timer()
        hub._watch_away()
        return hub

    def begin_closing(self) -> None:
        """Answer all who wait, and make nobody wait from now on."""
        self.closing = True
        for timer in (self._timer, self._tell_timer):
            if timer is not None:
                timer.cancel()
        for session in self._sessions.values():
            session.answer_parked()
        for course in self.courses.values():
            course.changed.notify()
        self.arrivals.notify()

    async def close(self) -> None:
        """End what goes on in the background."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def in_background(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Have something done; a failure of it is logged, not lost."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_report)
        return task

    async def to_its_end(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something whole, even if the caller goes away meanwhile.

        What is committed must reach those who wait for it; a caller whose connection breaks is
        cancelled, and may be so between the two.
        """
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    def _done(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # the caller gets it, if it is still there

    # --- nodes ---------------------------------------------------------------------------------

    def session(self, node_id: int, epoch: int) -> Session[LeasedRow]:
        """Return the session of a node's newest process.

        Raises
        ------
        RefusedError
            If `epoch` is that of an older one.
        """
        if epoch != self.nodes[node_id].epoch:
            raise superseded(f"node {node_id}")
        return self._sessions.setdefault(node_id, Session())

    def greet(self, row: NodeRow) -> None:
        """Take up a node that said hello. An older process of it is sent away."""
        before = self.nodes.get(row.node_id)
        self.nodes[row.node_id] = row
        if before is not None and before.epoch != row.epoch:
            session = self._sessions.pop(row.node_id, None)
            if session is not None:
                session.supersede(superseded(f"node {row.node_id}"))

    def begin(self, node_id: int) -> None:
        """Note that a request of a node begins: it is online."""
        if self.presence.begin(node_id):
            count = len(self.presence)
            log(INFO, "Node %d%s is online; %d in all", node_id, self._named(node_id), count)
            self.arrivals.notify()
            self._came.add(node_id)
            if not self._marking:
                self._marking = True
                self.in_background(self._mark_online())
        if node_id in self._told_away:
            self.in_background(self._tell_back(node_id, self._told_away.pop(node_id)))

    def end(self, node_id: int) -> None:
        """Note that a request of a node ends."""
        self.presence.end(node_id, self._loop.time())
        away = self.presence.deadline()
        if away is not None and (self._timer is None or self._timer.when() > away):
            self._set_timer()
        self._watch_away()

    def broke(self, node_id: int) -> None:
        """Note that a node's connection has broken, while it was waiting for work."""
        if self._lost_after is not None and not self.closing:
            self._loop.call_later(self._lost_after, self._give_up, node_id)

    def _give_up(self, node_id: int) -> None:
        if self.presence.is_away(node_id) and not self.closing:
            log(INFO, "Node %d%s is lost: its connection broke", node_id, self._named(node_id))
            self.in_background(self.leave(node_id))

    async def leave(self, node_id: int) -> None:
        """Note a goodbye. What the node had open fails."""
        session = self._sessions.pop(node_id, None)
        if session is not None:
            session.answer_parked()
        if self.presence.leave(node_id):
            log(INFO, "Node %d has said goodbye; %d online", node_id, len(self.presence))
        await self.fail_offline([node_id])

    async def forget(self, node_id: int) -> None:
        """Forget a node that is offline.

        Raises
        ------
        RefusedError
            If it is online.
        NodeNotFoundError
            If there is no such node.
        """
        if node_id in self.presence:
            raise RefusedError(
                Refusal.BAD_REQUEST,
                f"Node {node_id}{self._named(node_id)} is online.",
                hint=f"Stop its SuperNode first; one that was killed is offline "
                f"{AWAY_SECONDS:g} s later.",
            )
        await self.store.forget_node(node_id)
        self.nodes.pop(node_id, None)
        self._sessions.pop(node_id, None)
        self._told_away.pop(node_id, None)
        self.presence.leave(node_id)  # it came back while it was being deleted: it has to say hello
        for call in self._at_end_of_node:
            call(node_id)
        log(INFO, "Node %d is forgotten", node_id)

    async def forget_long_gone(self) -> None:
        """Forget the nodes that have been offline for `LONG_GONE_SECONDS`."""
        before = unix_now() - LONG_GONE_SECONDS
        for row in await self.store.nodes():
            since = row.offline_since or row.created_at
            if since < before and not row.online and row.node_id not in self.presence:
                await self.forget(row.node_id)

    def at_end_of_node(self, call: AtEndOfNode) -> None:
        """Have a function called for each node that is forgotten."""
        self._at_end_of_node.append(call)

    def is_away(self, node_id: int) -> bool:
        """Whether a node has had no connection for some seconds."""
        return node_id in self._told_away or node_id not in self.presence

    def _watch_away(self) -> None:
        """Look in a while whether runs should be told of nodes that are away."""
        if self._tell_timer is None and not self.closing and self.presence.deadline() is not None:
            self._tell_timer = self._loop.call_later(TELL_AWAY_SECONDS, self._tell_of_away)

    def _tell_of_away(self) -> None:
        self._tell_timer = None
        for node_id in self.presence.away_since(self._loop.time() - TELL_AWAY_SECONDS):
            if node_id not in self._told_away:
                self._told_away[node_id] = set()
                self.in_background(self._tell_away(node_id))
        self._watch_away()

    async def _tell_away(self, node_id: int) -> None:
        """Say in the logs of runs that a node is away which they wait for."""
        rows = await self.store.open_messages(node_id=node_id)
        told = self._told_away.get(node_id, set())
        for run_id in {row.run_id for row in rows} & self.courses.keys():
            told.add(run_id)
            await self.tell(
                run_id,
                f"Node {node_id}{self._named(node_id)} is away: its connection ended while a "
                f"message is waited for. It has {AWAY_SECONDS:g} s to come back.\n",
            )

    async def _tell_back(self, node_id: int, run_ids: set[int]) -> None:
        for run_id in run_ids & self.courses.keys():
            await self.tell(run_id, f"Node {node_id}{self._named(node_id)} is back.\n")

    async def _mark_online(self) -> None:
        """Write down who came; while that is written, more may come."""
        try:
            while self._came:
                came, self._came = self._came, set()
                await self.store.set_online(came, unix_now())
        finally:
            self._marking = False

    async def fail_offline(self, node_ids: list[int]) -> None:
        """Answer the open messages of nodes that are offline with errors, which are final."""
        self._came.difference_update(node_ids)
        code, now = ErrorCode.NODE_UNAVAILABLE, unix_now()
        results = await asyncio.gather(
            *(
                self.store.fail_node(
                    node_id, code, f"Node {node_id}{self._named(node_id)} is offline", now
                )
                for node_id in node_ids
            ),
            return_exceptions=True,
        )
        for result in results:
            if isinstance(result, dict):
                self.replies_came(result)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        # Last: a hub that dies before has them for online, and misses them again after its restart.
        away = [node_id for node_id in node_ids if node_id not in self.presence]
        await self.store.set_offline(away, unix_now())

    def parked(self, node_ids: Iterable[int]) -> dict[int, int]:
        """Return the epochs of those of some nodes that wait for work."""
        return {
            node_id: self.nodes[node_id].epoch
            for node_id in node_ids
            if (session := self._sessions.get(node_id)) is not None and session.takes_work
        }

    def hand_out(self, node_ids: Iterable[int], leased: Iterable[LeasedRow]) -> None:
        """Note that the store has new work for some nodes; what is leased already goes at once."""
        rows: dict[int, list[LeasedRow]] = {}
        for row in leased:
            rows.setdefault(row.node_id, []).append(row)
        for node_id in node_ids:
            session = self._sessions.get(node_id)
            if session is None:
                continue
            if node_id in rows:
                session.hand_out(rows[node_id])
            else:
                session.owe()

    def doubt(self, node_ids: Iterable[int] | None = None) -> None:
        """Note that messages have ended which (these) nodes may hold: each is told when it asks."""
        for node_id in self._sessions if node_ids is None else node_ids:
            if (session := self._sessions.get(node_id)) is not None:
                session.unsure = True

    # --- runs ----------------------------------------------------------------------------------

    def run_began(self, run_id: int) -> bool:
        """Take up a run; return whether it is a new one."""
        if run_id in self.courses:
            return False
        self.courses[run_id] = Course()
        return True

    async def next_attempt(self, run_id: int) -> tuple[int, str]:
        """Begin the next attempt of a run; return its number, and the token for its process."""
        attempt, token = await self.store.launch(run_id, unix_now())
        if (course := self.courses.get(run_id)) is not None:
            course.attempt = attempt
        return attempt, token

    def is_superseded(self, run_id: int, attempt: int) -> bool:
        """Whether a newer attempt of a run has begun since the hub's start."""
        course = self.courses.get(run_id)
        return course is not None and course.attempt > attempt

    def run_ended(self, run_id: int, *, stopped: bool) -> None:
        """Wake all who wait for a run, and the nodes that keep something of it."""
        course = self.courses.pop(run_id, None)
        if course is None:
            return
        course.over = True
        course.changed.notify()
        self.arrivals.notify()
        for session in self._sessions.values():
            if session.keeps(run_id):
                session.answer_parked()
        for call in self._at_end_of_run:
            call(run_id, stopped=stopped)

    def at_end_of_run(self, call: AtEndOfRun) -> None:
        """Have a function called for each run that ends."""
        self._at_end_of_run.append(call)

    async def tell(self, run_id: int, text: str) -> None:
        """Add a line of the hub's own to the log of a run, and wake those who follow it."""
        await self.store.add_log(run_id, text, unix_now())
        course = self.courses.get(run_id)
        if course is not None:
            course.told += 1
            course.changed.notify()

    def replies_came(self, counts: dict[int, int]) -> None:
        """Wake those who wait for replies of runs, of which so many have come."""
        for run_id, count in counts.items():
            course = self.courses.get(run_id)
            if course is not None:
                course.replies += count
                course.changed.notify()

    # --- time ----------------------------------------------------------------------------------

    def expect_expiry(self, at: float) -> None:
        """Note that a message ends at a moment, in Unix seconds, if nobody answers."""
        if self._expiry is None or at < self._expiry:
            self._expiry = at
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waits = []
        if (away := self.presence.deadline()) is not None:
            waits.append(away - self._loop.time())
        if self._expiry is not None:
            waits.append(self._expiry - unix_now())
        if self._gone:
            waits.append(0.0)
        if waits and not self.closing:
            self._timer = self._loop.call_later(
                max(0.0, min(waits)), lambda: self.in_background(self._time_is_up())
            )

    async def _time_is_up(self) -> None:
        self._timer = None
        gone = self.presence.expire(self._loop.time())
        try:
            if gone:
                who = f"Node {gone[0]} is" if len(gone) == 1 else f"{len(gone)} nodes are"
                log(INFO, "%s offline: away for %g s", who, AWAY_SECONDS)
                self._gone.update(gone)
            if self._gone:
                missed = list(self._gone)
                await self.fail_offline([id_ for id_ in missed if id_ not in self.presence])
                self._gone.difference_update(missed)  # others may have been missed meanwhile
            now = unix_now()
            if self._expiry is not None and self._expiry <= now:
                counts = await self.store.fail_expired(
                    now, ErrorCode.MESSAGE_UNAVAILABLE, "The message was not answered in time"
                )
                if counts:
                    self.doubt()
                    self.replies_came(counts)
                self._expiry = None  # what is sent while the next one is looked up tells its own
                if (at := await self.store.next_expiry()) is not None:
                    self.expect_expiry(at)
        except StoreError as error:  # a full disk, say: space may return
            log(ERROR, "%s", error)
            await asyncio.sleep(RETRY_SECONDS)
            self._expiry = unix_now()  # whatever was missed is looked for
        self._set_timer()

    def _named(self, node_id: int) -> str:
        row = self.nodes.get(node_id)
        return f" ({row.name})" if row is not None and row.name else ""


def _report(task: "asyncio.Task[Any]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log(ERROR, "The SuperLink goes on after an error of its own", exc_info=error)
