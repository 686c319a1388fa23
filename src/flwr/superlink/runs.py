"""Runs of a hub, as the services tell of them, and their end."""

from collections.abc import Iterable
from typing import Any

from flwr.clock import iso, unix_now
from flwr.errors import RunNotFoundError
from flwr.store.apps import APPS_OF_RUNS
from flwr.store.hubrecords import HostedRow, NewBody, NodeRow
from flwr.store.lifecycle import RunEvent
from flwr.store.records import Run
from flwr.superlink.hub import Hub
from flwr.transport import appio, control
from flwr.transport.parts import Fab, RunSheet

OVERRIDES, SIMULATION = "overrides", "simulation"  # entries of a run's options


class Runs:
    """What is told of runs.

    Parameters
    ----------
    hub : Hub
        Who waits for what, and the store.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._store = hub.store

    async def sheet(self, run_id: int) -> RunSheet:
        """Return what a process must know of a run."""
        return sheet_of(await self._store.run(run_id))

    async def fab(self, run_id: int) -> Fab:
        """Return a run's app.

        Raises
        ------
        RunNotFoundError
            If there is no such run.
        """
        run = await self._store.run(run_id)
        content = await self._store.fab(run.fab_hash)
        if content is None:
            raise RunNotFoundError(
                f"The app of run {run_id} is not kept any more.",
                hint=f"Those of live runs and of the newest {APPS_OF_RUNS} are.",
            )
        return Fab(run.fab_hash, content)

    async def shown(self, runs: Iterable[Run]) -> list[control.Run]:
        """Return runs as commands show them."""
        runs = list(runs)
        hosted = await self._store.hosted([run.run_id for run in runs])
        return [_shown(run, hosted.get(run.run_id)) for run in runs]

    def node_of(self, row: NodeRow) -> appio.Node:
        """Return a node as it is told of."""
        return appio.Node(
            node_id=row.node_id,
            name=row.name,
            online=row.node_id in self._hub.presence,
            node_config=row.node_config,
            online_since=_time(row.online_since),
            offline_since=_time(row.offline_since),
            created_at=_time(row.created_at),
        )

    async def end(
        self,
        run_id: int,
        event: RunEvent,
        details: str = "",
        exit_code: int = 0,
        *,
        attempt: int | None = None,
        context: NewBody | None = None,
    ) -> Run:
        """End a run, and wake all who have to do with it.

        Raises
        ------
        RunStateError
            If it has ended.
        """

        async def end() -> Run:
            run = await self._store.end_run(
                run_id, event, details, exit_code, unix_now(), attempt=attempt, context=context
            )
            self._hub.run_ended(run_id, stopped=event is RunEvent.STOP)
            return run

        return await self._hub.to_its_end(end())


def sheet_of(run: Run) -> RunSheet:
    """Return what a process must know of a run."""
    return RunSheet(
        run_id=run.run_id,
        fab_id=run.fab_id,
        fab_version=run.fab_version,
        fab_hash=run.fab_hash,
        run_config=run.run_config,
        override_config=run.options.get(OVERRIDES, {}),
        status=run.status,
        sub_status=run.sub_status,
        details=run.details,
        pending_at=run.pending_at,
        starting_at=run.starting_at or "",
        running_at=run.running_at or "",
        finished_at=run.finished_at or "",
    )


def simulation_of(run: Run) -> dict[str, Any] | None:
    """Return the options of a run that is a simulation."""
    options = run.options.get(SIMULATION)
    return dict(options) if options is not None else None


def _shown(run: Run, hosted: HostedRow | None) -> control.Run:
    return control.Run(
        run_id=run.run_id,
        fab_id=run.fab_id,
        fab_version=run.fab_version,
        fab_hash=run.fab_hash,
        federation=run.federation,
        state=run.state.value,
        details=run.details,
        pending_at=run.pending_at,
        starting_at=run.starting_at,
        running_at=run.running_at,
        finished_at=run.finished_at,
        nodes=run.nodes,
        rounds_done=run.rounds_done,
        rounds=run.rounds,
        failures=run.failures,
        client_seconds=run.client_seconds,
        metrics=run.metrics,
        exit_code=hosted.exit_code if hosted else 0,
        bytes_in=hosted.bytes_in if hosted else 0,
        bytes_out=hosted.bytes_out if hosted else 0,
    )


def _time(seconds: float | None) -> str:
    return "" if seconds is None else iso(seconds)
