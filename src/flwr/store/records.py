"""What the store takes and gives: frozen records, without any SQL."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from flwr.clock import iso
from flwr.store.lifecycle import RunState

if TYPE_CHECKING:  # `flwr ls` needs no numpy, which flwr.app brings along
    from flwr.app.events import Event

MAX_RUN_ID = 2**63 - 1
_TIMES = ("pending_at", "starting_at", "running_at", "finished_at", "last_event_at")


def new_run_id() -> int:
    """Return a random positive 63-bit number: no two runs ever get the same one."""
    return secrets.randbelow(MAX_RUN_ID) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """A run to be created."""

    run_id: int  # from new_run_id()
    fab_id: str  # "publisher/name"
    fab_version: str
    fab_hash: str  # 64 hex digits, or empty
    federation: str
    app_dir: str  # where its code lies
    run_config: dict[str, Any]
    options: dict[str, Any]  # of the simulation: nodes, resources


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run as it is known now. Times are ISO 8601 in UTC."""

    run_id: int
    fab_id: str
    fab_version: str
    fab_hash: str
    federation: str
    app_dir: str
    run_config: dict[str, Any]
    options: dict[str, Any]
    state: RunState
    details: str  # why it failed or was stopped
    pending_at: str
    starting_at: str | None
    running_at: str | None
    finished_at: str | None
    # What its events told so far
    last_event_at: str | None
    nodes: int | None
    rounds_done: int
    rounds: int | None  # None until a strategy said how many
    failures: int  # replies that were errors
    client_seconds: float  # seconds that ClientApps worked, summed over nodes
    metrics: dict[str, dict[str, Any]]  # newest, by phase ("train", "evaluate", …) or "server"

    @property
    def status(self) -> str:
        """``pending``, ``starting``, ``running`` or ``finished``."""
        return self.state.status

    @property
    def sub_status(self) -> str:
        """``completed``, ``failed`` or ``stopped`` once finished, else an empty text."""
        return self.state.sub_status

    @property
    def changed_at(self) -> str:
        """When the state last changed."""
        return self.finished_at or self.running_at or self.starting_at or self.pending_at

    def elapsed(self, now: float) -> float:
        """Return for how many seconds it has been running, until its end or `now` (Unix seconds).

        It is 0 for a run that never reached ``running``.
        """
        if self.running_at is None:
            return 0.0
        end = _unix(self.finished_at) if self.finished_at else now
        return max(0.0, end - _unix(self.running_at))

    def last_sign_of_life(self) -> float:
        """Return the Unix seconds of the newest event or change of state."""
        return max(_unix(self.changed_at), _unix(self.last_event_at or self.pending_at))


def run_of(row: Mapping[str, Any]) -> Run:
    """Return the run of a row, which has a column for each of its fields; its times are numbers."""
    times = {name: None if row[name] is None else iso(row[name]) for name in _TIMES}
    return Run(**{**row, **times, "state": RunState(row["state"])})


class UnknownEvent(NamedTuple):
    """An event that only a newer version knows."""

    kind: str
    fields: dict[str, Any]


class RecordedEvent(NamedTuple):
    """An event of a run, and its place and time."""

    seq: int  # 1, 2, … in each run
    at: float  # Unix seconds
    event: "Event | UnknownEvent"


def _unix(iso: str) -> float:
    return datetime.fromisoformat(iso).timestamp()
