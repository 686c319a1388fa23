"""A lock on a folder, held for as long as a process lives; temporary folders that use it."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from flwr.clock import unix_now
from flwr.errors import StoreError
from flwr.store.faults import disk_fault

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


_PREFIX = "flwr-objects-"
_NAME = ".lock"
_SETTLED_SECONDS = 60.0  # after so long, whoever made a folder has locked it


def temporary_folder() -> Path:
    """Make a folder among the system's temporary files, and remove those of killed processes."""
    for lock in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/{_NAME}"):
        try:
            if unix_now() - lock.stat().st_mtime < _SETTLED_SECONDS:
                continue
            FolderLock(lock.parent, "Its process lives.").release()
        except (OSError, StoreError):  # in use, gone meanwhile, or another user's
            continue
        shutil.rmtree(lock.parent, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=_PREFIX))


class FolderLock:
    """Keep other processes out of a folder, until :meth:`release` or the end of this one.

    Parameters
    ----------
    folder : Path
        Which; a file ``.lock`` is made in it.
    message : str
        The error if another process is in there.

    Raises
    ------
    StoreError
        If another process holds the lock, or the folder cannot be written.
    """

    def __init__(self, folder: Path, message: str) -> None:
        try:
            self._file: int | None = os.open(folder / _NAME, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise disk_fault(error, folder) from error
        try:
            if sys.platform == "win32":
                msvcrt.locking(self._file, msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.release()
            raise StoreError(message, hint="End that process, or name another file.") from error

    def release(self) -> None:
        """Let others in."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
