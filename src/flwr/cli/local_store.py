"""The database and the folders of the runs of this machine."""

import contextlib
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from flwr.config import state_dir
from flwr.errors import DatabaseDamagedError

if TYPE_CHECKING:
    from flwr.store import Run, Store


def runs_dir() -> Path:
    """Return the folder that holds a folder for each run."""
    return state_dir() / "runs"


def has_store() -> bool:
    """Return whether anything was ever run here; to ask saves loading what opens a database."""
    return _path().exists()


def _path() -> Path:
    return state_dir() / "runs.db"


def listed_runs(limit: int | None = None) -> "list[Run]":
    """Return the runs of this machine, the newest first; dead ones are marked as failed.

    A database is opened only for what needs it: to load what does so takes longer than the rest.
    """
    if not has_store():
        return []
    from flwr.store.glance import ended_runs

    found = ended_runs(_path(), limit)
    if found is None:
        with open_store() as store:
            found = store.runs(limit=limit)
    return found


@contextlib.contextmanager
def open_store(*, fresh: bool = False) -> "Iterator[Store]":
    """Open the database; runs whose process is gone are marked as failed.

    Parameters
    ----------
    fresh : bool, default False
        Put a damaged database aside and go on with a new one.

    Raises
    ------
    DatabaseDamagedError
        If it is damaged, unless `fresh`. The file is kept.
    """
    from flwr.store import Store, reap_dead_runs

    gc.enable()
    try:
        store = Store.open(_path(), fresh=fresh)
    except DatabaseDamagedError as error:
        error.hint = (
            "It is left as it is. To put it aside and go on with a new one: "
            "flwr run --fresh-database"
        )
        raise
    with contextlib.closing(store):
        reap_dead_runs(store, runs_dir())
        yield store
