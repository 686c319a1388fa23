"""The Control service: what commands ask of the hub."""

import asyncio
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flwr.clock import unix_now
from flwr.config import AppConfig, SimulationOptions, fuse_run_config
from flwr.errors import RefusedError
from flwr.runtime import fab
from flwr.store.lifecycle import RunEvent
from flwr.store.records import NewRun, Run
from flwr.superlink.hub import Hub
from flwr.superlink.refusals import refusing
from flwr.superlink.runs import OVERRIDES, SIMULATION, Runs
from flwr.superlink.scheduler import Scheduler
from flwr.superlink.waiting import Course
from flwr.transport import control
from flwr.transport.appio import Nodes
from flwr.transport.call import Call, Caller, Refusal
from flwr.transport.fleet import RENEW_SECONDS
from flwr.transport.parts import Fab, Nothing, RunQuestion
from flwr.transport.server import Handler

FEDERATION = "@none/default"  # the only one
GATHER_SECONDS = 0.05  # so long may what is followed wait for company: nobody reads faster
MOST_ENTRIES = 10_000  # of a log or of events in one answer


def free_bytes(folder: Path) -> int | None:
    """Return how much room there is; None if that cannot be told."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


class Control:
    """The Control calls.

    Parameters
    ----------
    hub : Hub
        Who waits for what.
    runs : Runs
        What is told of runs.
    scheduler : Scheduler
        The app processes.
    simulation : dict or None
        The default options of simulations; None if runs have nodes.
    folder : Path
        Where the hub keeps its state; how much room there is, is told.
    """

    def __init__(
        self,
        hub: Hub,
        runs: Runs,
        scheduler: Scheduler,
        simulation: dict[str, Any] | None,
        folder: Path,
    ) -> None:
        self._hub = hub
        self._store = hub.store
        self._runs = runs
        self._scheduler = scheduler
        self._simulation = simulation
        self._folder = folder

    def handlers(self) -> Mapping[Call[Any, Any], Handler]:
        """Return the handler of each call."""
        return {
            control.START_RUN: self.start_run,
            control.RUNS: self.list_runs,
            control.STOP_RUN: self.stop_run,
            control.LOG: self.log,
            control.EVENTS: self.events,
            control.NODES: self.nodes,
            control.FORGET_NODE: self.forget_node,
            control.FEDERATION: self.federation,
            control.OPEN: self.open_messages,
            control.FAB: self.fab,
        }

    async def start_run(self, request: control.StartRun, _caller: Caller) -> control.Run:
        """Take an app, and have it started. The same request again starts nothing."""
        if request.run_id <= 0 or request.run_id >= 1 << 63:
            raise RefusedError(Refusal.BAD_REQUEST, f"{request.run_id} is no id of a run.")
        if request.federation not in ("", FEDERATION):
            raise RefusedError(
                Refusal.BAD_REQUEST,
                f"There is no federation '{request.federation}' here.",
                hint=f"The only one is {FEDERATION}.",
            )
        with refusing():
            app = await asyncio.to_thread(fab.read, request.fab)
            new = self._new_run(request, app)
            kind = "serverapp" if self._simulation is None else "simulation"
            run = await self._hub.to_its_end(self._begin(new, kind, request.fab))
            (shown,) = await self._runs.shown([run])
        return shown

    async def _begin(self, new: NewRun, kind: str, content: bytes) -> Run:
        run = await self._store.create_run(new, kind, content, unix_now())
        if run.state.is_live and self._hub.run_began(run.run_id):
            self._scheduler.begin(run.run_id)
        return run

    async def list_runs(self, request: control.RunsQuestion, _caller: Caller) -> control.Runs:
        """List runs, the newest first."""
        with refusing():
            if request.run_id is not None:
                found = [await self._store.run(request.run_id)]
            else:
                found = await self._store.list_runs(request.limit)
            shown = await self._runs.shown(found)
        return control.Runs(shown, unix_now(), await asyncio.to_thread(free_bytes, self._folder))

    async def stop_run(self, request: RunQuestion, _caller: Caller) -> control.Run:
        """Stop a run, and end its processes."""
        with refusing():
            run = await self._runs.end(request.run_id, RunEvent.STOP, "Stopped by flwr stop")
            (shown,) = await self._runs.shown([run])
        return shown

    async def log(self, request: control.Follow, _caller: Caller) -> control.LogPart:
        """Wait for what a run prints."""
        limit = min(request.limit, MOST_ENTRIES)

        async def read() -> list[control.LogEntry]:
            rows = await self._store.log(request.run_id, request.after, limit)
            return [control.LogEntry(*row) for row in rows]

        with refusing():
            entries, run = await self._follow(request, read)
        return control.LogPart(entries, run)

    async def events(self, request: control.Follow, _caller: Caller) -> control.EventPart:
        """Wait for what a run tells about itself."""
        limit = min(request.limit, MOST_ENTRIES)

        async def read() -> list[control.RecordedEvent]:
            rows = await self._store.events(request.run_id, request.after, limit)
            return [control.RecordedEvent(*row) for row in rows]

        with refusing():
            events, run = await self._follow(request, read)
        return control.EventPart(events, run)

    async def nodes(self, _request: Nothing, _caller: Caller) -> Nodes:
        """List all nodes."""
        with refusing():
            return Nodes([self._runs.node_of(row) for row in await self._store.nodes()])

    async def open_messages(self, request: RunQuestion, _caller: Caller) -> control.OpenMessages:
        """List the messages of a run that nodes have not answered."""
        now = unix_now()
        with refusing():
            rows = await self._store.open_messages()
        working: dict[int, int] = {}  # nodes, and for which other run each has worked for longest
        for row in rows:
            if row.handed_out and row.run_id != request.run_id:
                working.setdefault(row.node_id, row.run_id)
        return control.OpenMessages(
            [
                control.OpenMessage(
                    row.node_id,
                    row.message_type,
                    max(0.0, now - row.created),
                    row.handed_out,
                    self._hub.is_away(row.node_id),
                    0 if row.handed_out else working.get(row.node_id, 0),
                )
                for row in rows
                if row.run_id == request.run_id
            ]
        )

    async def forget_node(self, request: control.NodeQuestion, _caller: Caller) -> Nothing:
        """Forget a node. If it says hello again it is a new one."""
        with refusing():
            await self._hub.to_its_end(self._hub.forget(request.node_id))
        return Nothing()

    async def federation(self, _request: Nothing, _caller: Caller) -> control.Federation:
        """Describe the federation."""
        simulation = self._simulation
        return control.Federation(FEDERATION, simulation is not None, dict(simulation or {}))

    async def fab(self, request: RunQuestion, _caller: Caller) -> Fab:
        """Fetch the app of a run."""
        with refusing():
            return await self._runs.fab(request.run_id)

    async def _follow(
        self, request: control.Follow, read: Callable[[], Any]
    ) -> tuple[list[Any], control.Run | None]:
        """Return what is new of a run once there is something, and the run once all was given."""
        deadline = asyncio.get_running_loop().time() + min(request.wait, RENEW_SECONDS)
        while True:
            course = self._hub.courses.get(request.run_id)
            before = course.told if course is not None else 0
            new = await read()
            if new:
                return new, None
            if course is None:
                (run,) = await self._runs.shown([await self._store.run(request.run_id)])
                return [], run
            if self._hub.closing or asyncio.get_running_loop().time() >= deadline:
                return [], None
            await self._changed(course, before, deadline)

    async def _changed(self, course: Course, before: int, deadline: float) -> None:
        """Wait for news of a run, and a moment for more of it to come along."""
        await course.changed.wait_for(
            lambda: course.told != before or course.over or self._hub.closing, deadline
        )
        soon = asyncio.get_running_loop().time() + GATHER_SECONDS
        await course.changed.wait_for(lambda: course.over or self._hub.closing, min(soon, deadline))

    def _new_run(self, request: control.StartRun, app: AppConfig) -> NewRun:
        options: dict[str, Any] = {OVERRIDES: request.overrides}
        if self._simulation is not None:
            options[SIMULATION] = self._simulation | request.options
            wrong: list[str] = []
            SimulationOptions().override(
                options[SIMULATION], lambda key, text: wrong.append(f"'{key}': {text}")
            )
            if wrong:
                raise RefusedError(Refusal.BAD_APP, "; ".join(wrong))
        elif request.options:
            raise RefusedError(
                Refusal.BAD_REQUEST,
                "Runs here have SuperNodes: there is no simulation to set options of.",
                hint="Leave --federation-config out.",
            )
        return NewRun(
            run_id=request.run_id,
            fab_id=app.fab_id,
            fab_version=app.version,
            fab_hash=fab.fab_hash_of(request.fab),
            federation=FEDERATION,
            app_dir="",
            run_config=fuse_run_config(app.run_config, request.overrides),
            options=options,
        )
