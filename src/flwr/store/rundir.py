"""The folder of a local run, and whether the run's process still lives."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Self
from weakref import WeakSet

from flwr.errors import RunStateError
from flwr.store.faults import folder_fault
from flwr.store.lifecycle import RunEvent
from flwr.store.records import Run

if TYPE_CHECKING:
    from flwr.store.store import Store

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


class RunDir:
    """The folder of one run: its log, its artifacts, and a lock held while its process lives.

    Parameters
    ----------
    runs_dir : Path
        The folder of all runs.
    run_id : int
        Which run. Nothing is created; see :meth:`create`.
    """

    def __init__(self, runs_dir: Path, run_id: int) -> None:
        self.path = runs_dir / str(run_id)
        self.log = self.path / "log.txt"
        self.artifacts = self.path / "artifacts"
        self._lock_file = self.path / "alive.lock"
        self._lock: int | None = None  # its descriptor

    @classmethod
    def create(cls, runs_dir: Path, run_id: int) -> Self:
        """Make the folder and hold its lock, until :meth:`release` or the end of this process.

        Do so before the run is put into the store: a live run whose lock is free is a dead one.

        Raises
        ------
        StoreError
            If the folder cannot be written.
        """
        folder = cls(runs_dir, run_id)
        try:
            folder.artifacts.mkdir(parents=True, exist_ok=True)
            folder.log.touch()
            folder._lock = os.open(folder._lock_file, os.O_RDWR | os.O_CREAT)
            _lock(folder._lock)
        except OSError as error:
            raise folder_fault(error, folder.path) from error
        _held.add(folder)
        return folder

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Give up the lock, once the run's end is in the store."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def is_alive(self) -> bool:
        """Whether a process holds the lock."""
        try:
            descriptor = os.open(self._lock_file, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            return _is_locked(descriptor)
        finally:
            os.close(descriptor)


def reap_dead_runs(store: "Store", runs_dir: Path) -> list[Run]:
    """Mark local runs whose process is gone as failed, and return them.

    They end at their last sign of life, with what is known about how far they came.
    """
    reaped = []
    for run in store.runs(live=True):
        if RunDir(runs_dir, run.run_id).is_alive():
            continue
        dead = store.run(run.run_id)  # with what it wrote before it let go of its lock
        try:
            reaped.append(
                store.move(
                    dead.run_id, RunEvent.FAIL, _last_words(dead), at=dead.last_sign_of_life()
                )
            )
        except RunStateError:
            continue  # it had finished, or another process was faster
    return reaped


def _last_words(run: Run) -> str:
    of = "" if run.rounds is None else f" of {run.rounds}"
    last_event = run.last_event_at or "none"
    return (
        "Its process ended without finishing (killed?). "
        f"Last round done: {run.rounds_done or 'none'}{of}. Last event: {last_event}."
    )


_held: WeakSet[RunDir] = WeakSet()


def _forget_in_child() -> None:
    for folder in _held:
        folder.release()


if sys.platform == "win32":

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)

    def _is_locked(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return True
        return False

else:
    # a forked child shares the lock, and may outlive the run: it is not the run
    os.register_at_fork(after_in_child=_forget_in_child)

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)

    def _is_locked(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: askers agree
        except BlockingIOError:
            return True
        return False
