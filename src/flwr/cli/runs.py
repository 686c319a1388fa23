"""Runs as commands show them, from the database of this machine or from a SuperLink."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from flwr import clock
from flwr.config import Place

if TYPE_CHECKING:
    from flwr import store
    from flwr.transport.control import Run


@dataclass(frozen=True)
class Listing:
    """Runs, newest first, and the clock that their times were taken from.

    Attributes
    ----------
    runs : list of Run
        The runs.
    now : float
        Unix seconds.
    """

    runs: "list[Run]"
    now: float


def read_runs(place: Place, run_id: int | None = None, limit: int | None = None) -> Listing:
    """Return one run, or the newest ones.

    Raises
    ------
    RunNotFoundError, RefusedError
        If there is no such run.
    """
    if place.address is None:
        from flwr.cli.local_store import listed_runs, open_store

        if run_id is None:
            found = listed_runs(limit)
        else:
            with open_store() as local:
                found = [local.run(run_id)]
        return Listing([of_store(run) for run in found], clock.unix_now())
    from flwr.cli.superlink import connected
    from flwr.transport.control import RUNS, RunsQuestion

    with connected(place) as link:
        answer = link.call(RUNS, RunsQuestion(run_id, limit))
        return Listing(answer.runs, answer.now)


def of_store(run: "store.Run") -> "Run":
    """Return a run of the database as commands show it."""
    from flwr.transport.control import Run

    return Run(
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
    )


def elapsed(run: "Run", now: float) -> float:
    """Return for how many seconds a run has been running, until its end or `now`.

    It is 0 for a run that never reached ``running``.
    """
    if run.running_at is None:
        return 0.0
    end = _unix(run.finished_at) if run.finished_at else now
    return max(0.0, end - _unix(run.running_at))


def changed_at(run: "Run") -> str:
    """Return when a run's state last changed."""
    return run.finished_at or run.running_at or run.starting_at or run.pending_at


def _unix(iso: str) -> float:
    return datetime.fromisoformat(iso).timestamp()
