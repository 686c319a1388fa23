"""The apps of runs, each unpacked once."""

import threading
from collections.abc import Callable
from pathlib import Path

from flwr.config import AppConfig
from flwr.errors import FabError
from flwr.runtime import fab
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
        self._apps: dict[str, AppConfig] = {}

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
            app = self._apps.get(sheet.fab_hash)
            if app is None or not app.app_dir.is_dir():
                app = self._apps[sheet.fab_hash] = self._unpack(sheet, fetch())
            return app

    def _unpack(self, sheet: RunSheet, content: bytes) -> AppConfig:
        if (found := fab.fab_hash_of(content)) != sheet.fab_hash:
            raise FabError(f"The FAB of run {sheet.run_id} has the hash {found}, not its own.")
        try:
            return fab.unpack(content, self._folder)
        except OSError as error:
            raise FabError(
                f"The app of run {sheet.run_id} cannot be unpacked: {error}",
                hint=f"Apps are unpacked in {self._folder}.",
            ) from error
