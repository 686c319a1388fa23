"""The store: what is known about runs, in one database that several processes share."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

from sqlalchemy import Connection, Engine

from flwr.clock import unix_now
from flwr.store import runs
from flwr.store.database import open_database
from flwr.store.faults import faults
from flwr.store.lifecycle import RunEvent
from flwr.store.records import NewRun, RecordedEvent, Run
from flwr.store.writer import Writer

if TYPE_CHECKING:  # `flwr ls` needs no numpy, which flwr.app brings along
    from flwr.app.events import Event

T = TypeVar("T")


class Store:
    """Runs, their states and their events. Safe to use from several threads.

    Made by :meth:`open`. All calls raise a :class:`~flwr.errors.StoreError` that names the
    database when it is damaged, locked for too long, or its disk is full.
    """

    # Four attributes are for the rest of this room: a hub keeps its own tables beside the runs'.
    def __init__(self, engine: Engine, path: Path | None) -> None:
        self.engine = engine
        self.in_memory = path is None
        self.name = "The database in memory" if path is None else str(path)
        self._known: set[int] = set()  # runs that record() need not look up
        self.writer: Writer[tuple[int, float, Event]] = Writer(engine, _append, name=self.name)

    @classmethod
    def open(cls, path: Path | None, *, fresh: bool = False, patience: float = 30.0) -> Self:
        """Open a database; create or migrate it if need be.

        Parameters
        ----------
        path : Path or None
            The SQLite file, created with its folders if missing. None keeps all in memory.
        fresh : bool, default False
            Rename a damaged file to ``<name>.damaged-<time>`` and begin a new one.
        patience : float, default 30.0
            Seconds to wait while another process writes.

        Raises
        ------
        DatabaseDamagedError
            If the file is no database of this project, or is damaged. It is left as it is.
        DatabaseNewerError
            If a newer version wrote it.
        StoreError
            If it cannot be created, read or written.
        """
        return cls(open_database(path, fresh=fresh, patience=patience), path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def create_run(self, new: NewRun) -> Run:
        """Add a run, which is then ``pending``. It is on disk when this returns."""
        at = unix_now()
        run = self.writer.call(lambda connection: runs.insert_run(connection, new, at))
        self._known.add(run.run_id)
        return run

    def move(
        self, run_id: int, event: RunEvent, details: str = "", *, at: float | None = None
    ) -> Run:
        """Move a run to its next state. It is on disk when this returns.

        Parameters
        ----------
        run_id : int
            Which run.
        event : RunEvent
            What happened to it.
        details : str, optional
            Why it failed or was stopped, for people.
        at : float, optional
            When it happened, in Unix seconds; by default now.

        Raises
        ------
        RunNotFoundError
            If there is no such run.
        RunStateError
            If that cannot happen to a run in its state.
        """
        moment = unix_now() if at is None else at
        return self.writer.call(
            lambda connection: runs.move_run(connection, run_id, event, details, moment)
        )

    def record(self, run_id: int, event: "Event") -> None:
        """Have an event of a run written soon, in the background; it must not change any more.

        Raises
        ------
        RunNotFoundError
            If there is no such run.
        """
        if run_id not in self._known:
            self.run(run_id)
            self._known.add(run_id)
        self.writer.post((run_id, unix_now(), event))

    def flush(self) -> None:
        """Return when all events recorded so far are written.

        They then survive the death of this process; a loss of power may still take the last.

        Raises
        ------
        StoreError
            If they cannot be written. They are kept and tried again.
        """
        self.writer.flush()

    def run(self, run_id: int) -> Run:
        """Return a run as it is in the database: events not written yet do not count.

        Raises
        ------
        RunNotFoundError
            If there is no such run; it names the nearest ids.
        """
        return self._read(lambda connection: runs.select_run(connection, run_id))

    def runs(self, limit: int | None = None, *, live: bool = False) -> list[Run]:
        """Return the runs, the newest first.

        Parameters
        ----------
        limit : int, optional
            At most so many; by default all.
        live : bool, default False
            Only those that have not finished.
        """
        return self._read(lambda connection: runs.select_runs(connection, limit, live=live))

    def events(self, run_id: int, after: int = 0) -> list[RecordedEvent]:
        """Return the written events of a run whose number is above `after`, in order.

        Raises
        ------
        RunNotFoundError
            If there is no such run.
        """
        return self._read(lambda connection: runs.select_events(connection, run_id, after))

    def close(self) -> None:
        """Write what is left, and close the database.

        Raises
        ------
        StoreError
            If recorded events could not be written; they are lost.
        """
        try:
            self.writer.close()
        finally:
            self.engine.dispose()

    def _read(self, work: Callable[[Connection], T]) -> T:
        if self.in_memory:  # there is only one connection, and the writer's thread uses it
            return self.writer.call(work)
        self.writer.require_open()
        with faults(self.name), self.engine.connect() as connection:
            return work(connection)


def _append(connection: Connection, items: "Sequence[tuple[int, float, Event]]") -> None:
    by_run: dict[int, list[tuple[float, Event]]] = {}
    for run_id, at, event in items:
        by_run.setdefault(run_id, []).append((at, event))
    for run_id in sorted(by_run):  # row locks are taken in one order by all
        runs.append_events(connection, run_id, by_run[run_id])
