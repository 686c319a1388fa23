"""The Fleet service: what SuperNodes ask of the hub."""

import asyncio
from collections.abc import Mapping
from typing import Any

from flwr.clock import unix_now
from flwr.errors import DiskFullError, RefusedError, RunNotFoundError
from flwr.store.hubrecords import LeasedRow
from flwr.superlink.contents import kept_reply, opened
from flwr.superlink.entrance import Entrance
from flwr.superlink.hub import Hub
from flwr.superlink.refusals import Kinds, refusing
from flwr.superlink.runs import Runs
from flwr.superlink.waiting import Session
from flwr.transport import fleet
from flwr.transport.call import Call, Caller, Refusal
from flwr.transport.parts import Body, Fab, Nothing, RunQuestion, RunSheet
from flwr.transport.server import Handler

RETRY_AFTER = 1.0  # seconds, when the hub goes down
_OF_NODES: Kinds = {DiskFullError: Refusal.UNAVAILABLE}  # a node asks again until there is room


class Fleet:
    """The Fleet calls.

    Parameters
    ----------
    hub : Hub
        Who waits for what.
    runs : Runs
        What is told of runs.
    entrance : Entrance
        Knows nodes by their secrets.
    """

    def __init__(self, hub: Hub, runs: Runs, entrance: Entrance) -> None:
        self._hub = hub
        self._runs = runs
        self._entrance = entrance

    def handlers(self) -> Mapping[Call[Any, Any], Handler]:
        """Return the handler of each call."""
        return {
            fleet.HELLO: self.hello,
            fleet.EXCHANGE: self.exchange,
            fleet.LEAVE: self.leave,
            fleet.RUN: self.run,
            fleet.FAB: self.fab,
        }

    async def hello(self, request: fleet.Hello, caller: Caller) -> fleet.Welcome:
        """Introduce a node."""
        if not caller.token_hash:
            raise RefusedError(Refusal.NOT_ALLOWED, "A node has to bring its secret.")
        with refusing():
            return await self._hub.to_its_end(self._welcome(request, caller.token_hash))

    async def _welcome(self, request: fleet.Hello, secret_hash: str) -> fleet.Welcome:
        row = await self._hub.store.hello(
            secret_hash, request.instance, request.name, request.node_config, unix_now()
        )
        self._entrance.remember(secret_hash, row.node_id)
        self._hub.greet(row)
        self._hub.begin(row.node_id)
        self._hub.end(row.node_id)
        return fleet.Welcome(row.node_id, row.epoch)

    async def exchange(self, request: fleet.Exchange, caller: Caller) -> fleet.Exchanged:
        """Bring replies, and wait for work."""
        with refusing(_OF_NODES):
            return await self._exchange(request, caller.node_id)

    async def _exchange(self, request: fleet.Exchange, node_id: int) -> fleet.Exchanged:
        hub = self._hub
        until = asyncio.get_running_loop().time() + min(request.wait, fleet.RENEW_SECONDS)
        accepted: list[str] = []
        dropped: list[str] = []
        if request.done:
            accepted, dropped = await hub.to_its_end(self._answer(node_id, request.done))
        if len(accepted) + len(dropped) < len(request.done):
            until = 0.0  # the objects of a reply are not here: the node should know at once
        session = hub.session(node_id, request.epoch)
        hub.begin(node_id)
        try:
            session.arrived([*request.holding, *(reply.message_id for reply in request.done)])
            rows = await self._work(session, request, node_id, dropped, until)
            session.handed.update(row.message_id for row in rows)
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError):
                hub.broke(node_id)
            session.owed = True  # what was leased for this exchange goes to the next one
            raise
        finally:
            hub.end(node_id)
        work, bodies = _work(rows)
        return fleet.Exchanged(
            work=work,
            bodies=bodies,
            accepted=accepted,
            dropped=dropped,
            ended_runs=self._ended(request),
            retry_after=RETRY_AFTER if hub.closing else 0.0,
        )

    async def leave(self, request: fleet.Leave, caller: Caller) -> Nothing:
        """Say goodbye."""
        self._hub.session(caller.node_id, request.epoch)
        with refusing():
            await self._hub.to_its_end(self._hub.leave(caller.node_id))
        return Nothing()

    async def run(self, request: RunQuestion, caller: Caller) -> RunSheet:
        """Describe a run of the node's work."""
        with refusing():
            await self._require_work(request.run_id, caller.node_id)
            return await self._runs.sheet(request.run_id)

    async def fab(self, request: RunQuestion, caller: Caller) -> Fab:
        """Fetch the app of such a run."""
        with refusing():
            await self._require_work(request.run_id, caller.node_id)
            return await self._runs.fab(request.run_id)

    async def _require_work(self, run_id: int, node_id: int) -> None:
        """Raise if a node has no message of a run to answer: apps are no one else's business."""
        rows = await self._hub.store.open_messages(node_id=node_id)
        if not any(row.run_id == run_id for row in rows):
            raise RunNotFoundError(f"Node {node_id} has no message of a run {run_id} to answer.")

    async def _answer(self, node_id: int, done: list[fleet.Reply]) -> tuple[list[str], list[str]]:
        """Return which replies are on disk, and which nobody wants."""
        replies = [kept_reply(reply) for reply in done]
        answered = await self._hub.store.answer(node_id, replies, unix_now())
        self._hub.replies_came(answered.runs)
        return list(answered.accepted), list(answered.dropped)

    async def _work(
        self,
        session: Session[LeasedRow],
        request: fleet.Exchange,
        node_id: int,
        dropped: list[str],
        until: float,
    ) -> list[LeasedRow]:
        """Wait until there is work for a node, or until it should hear something else."""
        while session.over is None:
            if session.unsure or (session.owed and request.capacity):
                session.unsure = session.owed = False
                leased = await self._hub.store.lease(
                    node_id, request.epoch, request.holding, request.capacity, unix_now()
                )
                dropped += leased.dropped
                session.owed = session.owed or len(leased.rows) >= request.capacity
                if leased.rows:
                    return list(leased.rows)
                continue  # something may have come meanwhile
            if dropped or self._hub.closing or self._ended(request):
                return []
            runs = frozenset(request.runs)
            rows = await session.park(request.capacity, runs, until)
            if rows:
                return rows
            if rows is None and session.over is None:
                return []
        raise session.over

    def _ended(self, request: fleet.Exchange) -> list[int]:
        return [run_id for run_id in request.runs if run_id not in self._hub.courses]


def _work(rows: list[LeasedRow]) -> tuple[list[fleet.Work], list[Body]]:
    """Return messages for a node; those with the same body share it."""
    now = unix_now()
    index: dict[str, int] = {}
    bodies: list[Body] = []
    work = []
    for row in rows:
        if row.body_id not in index:
            index[row.body_id] = len(bodies)
            bodies.append(opened(row.body))
        work.append(
            fleet.Work(
                message_id=row.message_id,
                run_id=row.run_id,
                meta=row.meta,
                body=index[row.body_id],
                age=max(0.0, now - row.created),
                ttl=row.ttl,
            )
        )
    return work, bodies
