"""Errors of SQL and its drivers as errors of ours: the one place that knows both."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flwr.errors import DatabaseDamagedError, DiskFullError, StoreError

KEPT_HINT = (
    "It is left as it is. Move it away to begin a new one; the runs recorded in it are then no "
    "longer listed."
)

_HINTS = {
    sqlite3.SQLITE_BUSY: ("is locked by another process", "End that process, or try again."),
    sqlite3.SQLITE_LOCKED: ("is locked by another process", "End that process, or try again."),
    sqlite3.SQLITE_READONLY: (
        "cannot be written",
        "Give yourself the right to write it and its folder, or set FLWR_HOME to another folder.",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "cannot be opened",
        "Give yourself the right to write it and its folder, or set FLWR_HOME to another folder.",
    ),
    sqlite3.SQLITE_IOERR: ("cannot be read or written", "Check the disk that holds it."),
}


@contextmanager
def faults(database: str) -> Iterator[None]:
    """Raise what SQLAlchemy raises inside as a ``StoreError`` that names `database`."""
    from sqlalchemy.exc import SQLAlchemyError  # as below: run folders have faults without SQL

    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise _translated(error, database) from error


def folder_fault(error: OSError, path: Path) -> StoreError:
    """Return the error of a folder or file that cannot be made or moved."""
    return StoreError(
        f"{path} cannot be written: {error.strerror}",
        hint="Set FLWR_HOME to a folder that you may write to.",
    )


def disk_fault(error: OSError, path: Path) -> StoreError:
    """Return the error of a file or folder of objects that cannot be written."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return DiskFullError(
            f"{path} cannot grow: {error.strerror}", hint="Make room on that disk."
        )
    return StoreError(f"{path} cannot be written: {error.strerror}")


def _translated(error: Exception, database: str) -> StoreError:
    from sqlalchemy.exc import DBAPIError

    cause = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF  # the rest tells the kind of the kind
    if code in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
        return DatabaseDamagedError(f"{database} is damaged: {cause}", hint=KEPT_HINT)
    if code == sqlite3.SQLITE_FULL:
        return DiskFullError(f"{database} cannot grow: {cause}", hint="Make room on that disk.")
    what, hint = _HINTS.get(code, ("cannot be used", ""))
    return StoreError(f"{database} {what}: {cause}", hint=hint)
