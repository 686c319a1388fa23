"""The apps of runs, each unpacked once, and in use until its last run has ended."""

import threading
from collections.abc import Callable
from pathlib import Path

from flwr.config import AppConfig
from flwr.errors import FabError
from flwr.runtime.appfolders import Lease, lease
from flwr.runtime.fab import fab_hash_of
from flwr.transport.parts import RunSheet


class AppShelf:
    """Unpacked apps by the hash of their FAB. Threads may share it.

    Parameters
    ----------
    folder : Path
        In which each app has a folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._apps: dict[str, Lease] = {}
        self._runs: dict[int, str] = {}  # and whose app they use

    def app(self, sheet: RunSheet, fetch: Callable[[], bytes]) -> AppConfig:
        """Return a run's app.

        Parameters
        ----------
        sheet : RunSheet
            The run.
        fetch : callable
            Returns its FAB; only called if it was not unpacked before.

        Raises
        ------
        FabError, ConfigError
            If the FAB is another one than the run's, or no good.
        """
        with self._lock:
            there = self._apps.get(sheet.fab_hash)
            if there is None or not there.app.app_dir.is_dir():
                there = self._apps[sheet.fab_hash] = self._unpack(sheet, fetch())
            self._runs[sheet.run_id] = sheet.fab_hash
            return there.app

    def drop_run(self, run_id: int) -> None:
        """Let the app of a run go, unless another run uses it."""
        with self._lock:
            used = self._runs.pop(run_id, None)
            if used is not None and used not in self._runs.values():
                self._apps.pop(used).close()

    def _unpack(self, sheet: RunSheet, content: bytes) -> Lease:
        if (found := fab_hash_of(content)) != sheet.fab_hash:
            raise FabError(f"The FAB of run {sheet.run_id} has the hash {found}, not its own.")
        try:
            return lease(content, self._folder)
        except OSError as error:
            raise FabError(
                f"The app of run {sheet.run_id} cannot be unpacked: {error}",
                hint=f"Apps are unpacked in {self._folder}.",
            ) from error
