"""The folders of unpacked apps: in use as long as a lease is held; old ones that runs brought go.

An app that a run brought has a file beside it, whose lock says that it is in use and whose time
says when it was last. An app without that file was installed by somebody, and stays.
"""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from flwr.config import AppConfig
from flwr.runtime import fab

if sys.platform == "win32":

    def _lock(file: int, *, alone: bool) -> None:
        """Do nothing: an open file cannot be removed there, which does as well."""

else:
    import fcntl

    def _lock(file: int, *, alone: bool) -> None:
        """Take a lock, or raise a BlockingIOError if `alone` and somebody has it."""
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB if alone else fcntl.LOCK_SH)


MOST_APPS = 100  # that runs brought, beside those in use
_LEASE = ".info/LEASE"


class Lease:
    """An unpacked app in use; :meth:`close`, or the end of the process, ends that.

    Attributes
    ----------
    app : AppConfig
        What the app says of itself; ``app_dir`` is its folder.
    """

    def __init__(self, app: AppConfig, file: int | None) -> None:
        self.app = app
        self._file = file

    def close(self) -> None:
        """Use it no more."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def lease(content: bytes, apps_dir: Path) -> Lease:
    """Unpack the app of a run, unless it is there, and keep it from being removed.

    Beyond `MOST_APPS`, those that were not in use for longest are removed.

    Parameters
    ----------
    content : bytes
        The FAB, from anybody.
    apps_dir : Path
        Where apps lie; made if it is missing.

    Raises
    ------
    FabError, ConfigError, OSError
        As for :func:`flwr.runtime.fab.unpack`.
    """
    while True:
        before = set(_folders(apps_dir))
        app = fab.unpack(content, apps_dir)
        file = _take(app.app_dir, new=app.app_dir not in before)
        if file is not None or app.app_dir.is_dir():
            break  # else another process removed it at this moment
    _remove_oldest(apps_dir)
    return Lease(app, file)


def keep(app_dir: Path) -> None:
    """Let an app stay for good: it is installed."""
    (app_dir / _LEASE).unlink(missing_ok=True)


def _folders(apps_dir: Path) -> Iterator[Path]:
    with contextlib.suppress(FileNotFoundError):
        yield from apps_dir.iterdir()


def _take(folder: Path, *, new: bool) -> int | None:
    """Lock the lease of an app; None if it has none."""
    path = folder / _LEASE
    try:
        file = os.open(path, os.O_RDWR | (os.O_CREAT if new else 0), 0o600)
    except FileNotFoundError:
        return None
    _lock(file, alone=False)
    try:
        if os.path.samestat(os.fstat(file), path.stat()):
            os.utime(file)
            return file
    except FileNotFoundError:
        pass
    os.close(file)
    return None


def _remove_oldest(apps_dir: Path) -> None:
    """Remove the apps that runs brought and that were not in use for longest, beyond the most."""
    found = []
    for folder in _folders(apps_dir):
        with contextlib.suppress(OSError):
            found.append(((folder / _LEASE).stat().st_mtime, folder))
    for _, folder in sorted(found)[: max(0, len(found) - MOST_APPS)]:
        with contextlib.suppress(OSError):  # in use, or gone meanwhile
            _remove(folder)


def _remove(folder: Path) -> None:
    file = os.open(folder / _LEASE, os.O_RDWR)
    try:
        _lock(file, alone=True)
        away = Path(tempfile.mkdtemp(prefix=".old-", dir=folder.parent))
        try:
            folder.rename(away / folder.name)  # at once, so that it is never there in part
        finally:
            shutil.rmtree(away, ignore_errors=True)
    finally:
        os.close(file)
