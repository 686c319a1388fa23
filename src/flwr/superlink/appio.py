"""The AppIo service: what the app processes of runs ask of the hub."""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from flwr.clock import unix_now
from flwr.errors import DiskFullError, RefusedError, RunStateError
from flwr.store.hubrecords import AnswerRow, Enqueued, NewMessage
from flwr.store.lifecycle import RunEvent
from flwr.superlink.contents import answer_of, checkpoint_of, kept, kept_checkpoint
from flwr.superlink.hub import Hub
from flwr.superlink.refusals import Kinds, refusing
from flwr.superlink.runs import Runs, sheet_of, simulation_of
from flwr.superlink.scheduler import Scheduler
from flwr.superlink.waiting import Course
from flwr.transport import appio
from flwr.transport.call import Call, Caller, Refusal
from flwr.transport.fleet import RENEW_SECONDS
from flwr.transport.parts import Fab, Nothing, RunQuestion
from flwr.transport.server import Handler

_OF_RUNS: Kinds = {RunStateError: Refusal.RUN_ENDED}
# What a process prints must not be lost, nor end it: it tells it again until there is room
_OF_REPORTS: Kinds = {DiskFullError: Refusal.UNAVAILABLE}
OUTCOMES = {
    "completed": RunEvent.COMPLETE,
    "failed": RunEvent.FAIL,
    "stopped": RunEvent.STOP,
}


class AppIo:
    """The AppIo calls.

    Parameters
    ----------
    hub : Hub
        Who waits for what.
    runs : Runs
        What is told of runs.
    scheduler : Scheduler
        The app processes.
    """

    def __init__(self, hub: Hub, runs: Runs, scheduler: Scheduler) -> None:
        self._hub = hub
        self._store = hub.store
        self._runs = runs
        self._scheduler = scheduler

    def handlers(self) -> Mapping[Call[Any, Any], Handler]:
        """Return the handler of each call."""
        return {
            appio.INPUTS: self.inputs,
            appio.FAB: self.fab,
            appio.PUSH: self.push,
            appio.COLLECT: self.collect,
            appio.NODES: self.nodes,
            appio.CHECKPOINT: self.checkpoint,
            appio.RESTORE: self.restore,
            appio.REPORT: self.report,
            appio.FINISH: self.finish,
            appio.LAUNCH: self.launch,
        }

    async def inputs(self, _request: Nothing, caller: Caller) -> appio.Inputs:
        """Begin: the run is running from now on."""
        with self._asking(caller) as course:
            run = await self._store.begin_running(caller.run_id, caller.attempt, unix_now())
            course.told += 1
            course.changed.notify()
        return appio.Inputs(sheet_of(run), caller.attempt, simulation_of(run))

    async def fab(self, _request: RunQuestion, caller: Caller) -> Fab:
        """Fetch the run's app."""
        with self._asking(caller):
            return await self._runs.fab(caller.run_id)

    async def push(self, request: appio.Push, caller: Caller) -> appio.Pushed:
        """Send messages to nodes, and wait for replies if that is wanted."""
        with self._asking(caller) as course:
            pushed = await self._hub.to_its_end(self._enqueue(request, caller))
            replies: list[appio.Answer] = []
            if request.collect is not None:
                replies = await self._replies(course, request.collect, caller.run_id)
        refused = [appio.Refused(*row) for row in pushed.refused]
        return appio.Pushed(list(pushed.known), refused, replies)

    async def collect(self, request: appio.Collect, caller: Caller) -> appio.Collected:
        """Wait for replies."""
        with self._asking(caller) as course:
            return appio.Collected(await self._replies(course, request, caller.run_id))

    async def nodes(self, request: appio.NodeQuestion, caller: Caller) -> appio.Nodes:
        """List the nodes that are online, once there are enough."""
        hub = self._hub
        with self._asking(caller) as course:
            await hub.arrivals.wait_for(
                lambda: len(hub.presence) >= request.atleast or hub.closing or course.over,
                _deadline(request.wait),
            )
        return appio.Nodes(
            [self._runs.node_of(hub.nodes[node_id]) for node_id in hub.presence.online()]
        )

    async def checkpoint(self, request: appio.Checkpoint, caller: Caller) -> Nothing:
        """Commit a checkpoint."""
        with self._asking(caller):
            still_open = await self._store.checkpoint(
                caller.run_id, caller.attempt, kept_checkpoint(request), unix_now()
            )
        self._hub.doubt(still_open)
        return Nothing()

    async def restore(self, request: appio.ScopeQuestion, caller: Caller) -> appio.Restored:
        """Fetch the newest checkpoint of a scope."""
        with self._asking(caller):
            row = await self._store.restore(caller.run_id, request.scope)
        return appio.Restored(None if row is None else checkpoint_of(row))

    async def report(self, request: appio.Report, caller: Caller) -> appio.Reported:
        """Take events and output. A process whose run is over is told to stop."""
        course = self._hub.courses.get(caller.run_id)
        if request.events or request.text:
            events = [(told.at, told.kind, told.body) for told in request.events]
            with refusing(_OF_REPORTS):
                await self._store.report(
                    caller.run_id, caller.attempt, request.seq, events, request.text, unix_now()
                )
        if course is None:
            return appio.Reported(stop=True)
        course.heard = asyncio.get_running_loop().time()
        course.told += 1
        course.changed.notify()
        return appio.Reported(stop=course.over)

    async def finish(self, request: appio.Finish, caller: Caller) -> Nothing:
        """End the run. Asking again, after an answer was lost, changes nothing."""
        event = OUTCOMES.get(request.outcome)
        if event is None:
            raise RefusedError(Refusal.BAD_REQUEST, f"A run cannot end as '{request.outcome}'.")
        with refusing(_OF_RUNS):
            await self._runs.end(
                caller.run_id,
                event,
                request.details,
                request.exit_code,
                attempt=caller.attempt,
                context=None if request.context is None else kept(request.context),
            )
        return Nothing()

    async def launch(self, request: appio.Launching, _caller: Caller) -> appio.Launches:
        """Wait for processes to launch."""
        with refusing():
            return await self._scheduler.launches(request)

    @contextlib.contextmanager
    def _asking(self, caller: Caller) -> Iterator[Course]:
        """Give the course of the caller's run; errors in the body become refusals."""
        course = self._hub.courses.get(caller.run_id)
        if course is None:
            raise RefusedError(Refusal.RUN_ENDED, f"Run {caller.run_id} has ended.")
        loop = asyncio.get_running_loop()
        course.heard = loop.time()
        try:
            with refusing(_OF_RUNS):
                yield course
        finally:
            course.heard = loop.time()

    async def _enqueue(self, request: appio.Push, caller: Caller) -> Enqueued:
        """Take messages; those to nodes that wait are on their way when this returns."""
        for message in request.messages:
            if not 0 <= message.body < len(request.bodies):
                raise RefusedError(
                    Refusal.BAD_REQUEST, f"Message {message.message_id} has no body {message.body}."
                )
        messages = [
            NewMessage(
                message_id=message.message_id,
                node_id=message.node_id,
                message_type=message.message_type,
                body=message.body,
                ttl=message.ttl,
                meta=message.meta,
            )
            for message in request.messages
        ]
        bodies = [kept(body) for body in request.bodies]
        node_ids = list(dict.fromkeys(message.node_id for message in messages))
        parked = self._hub.parked(node_ids)
        enqueued = await self._store.enqueue(
            caller.run_id, caller.attempt, messages, bodies, parked, unix_now()
        )
        self._hub.hand_out(node_ids, enqueued.leased)
        if enqueued.next_expiry is not None:
            self._hub.expect_expiry(enqueued.next_expiry)
        await self._fail_unreachable(node_ids)
        return enqueued

    async def _fail_unreachable(self, node_ids: list[int]) -> None:
        """Answer what was sent to nodes that are offline: nobody would ever fetch it."""
        offline = [id_ for id_ in node_ids if id_ not in self._hub.presence]
        known = [id_ for id_ in offline if id_ in self._hub.nodes]
        if known:
            await self._hub.fail_offline(known)

    async def _replies(
        self, course: Course, request: appio.Collect, run_id: int
    ) -> list[appio.Answer]:
        """Wait until enough replies are behind the cursor, or the time is up."""
        deadline = _deadline(request.wait)
        enough = min(request.atleast, request.limit)
        while True:
            came = course.replies
            target = came + enough
            rows: list[AnswerRow] = []
            more = False
            if course.has_news(request.after):
                rows, more = await self._store.collect(run_id, request.after, request.limit)
                if not more:
                    course.read_up_to(rows[-1].seq if rows else request.after, came)
            if more or len(rows) >= enough or self._hub.closing or _is_past(deadline):
                return [answer_of(row) for row in rows]
            if course.over:
                raise RefusedError(Refusal.RUN_ENDED, f"Run {run_id} has ended.")
            await self._come(course, target - len(rows), deadline)

    async def _come(self, course: Course, replies: int, deadline: float) -> None:
        """Wait until a run has had so many replies since the hub's start."""
        await course.changed.wait_for(
            lambda: course.replies >= replies or course.over or self._hub.closing, deadline
        )


def _deadline(wait: float) -> float:
    return asyncio.get_running_loop().time() + min(wait, RENEW_SECONDS)


def _is_past(deadline: float) -> bool:
    return asyncio.get_running_loop().time() >= deadline
