"""Reading runs that have ended through the driver alone.

It is for a command that only lists them: to load SQLAlchemy takes as long as all else it does.
"""

import sqlite3
from contextlib import closing
from dataclasses import fields
from pathlib import Path
from typing import Any

from flwr.store.format import REVISION, unpack
from flwr.store.lifecycle import LIVE_STATES
from flwr.store.records import Run, run_of

_COLUMNS = tuple(field.name for field in fields(Run))
_PACKED = frozenset({"run_config", "options", "metrics"})


def ended_runs(path: Path, limit: int | None) -> list[Run] | None:
    """Return the newest runs, the newest first, if all runs have ended.

    Nothing is written. None says that only :class:`~flwr.store.Store` can tell: a run is live, or
    its process is gone; the tables are of another version; or the file cannot be read.
    """
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as driver:
            driver.execute("BEGIN")  # all that follows sees the same moment
            revisions = driver.execute("SELECT version_num FROM alembic_version").fetchall()
            if revisions != [(REVISION,)]:
                return None
            states = driver.execute("SELECT DISTINCT state FROM runs")
            if any(state in LIVE_STATES for (state,) in states):
                return None
            rows = driver.execute(
                f"SELECT {', '.join(_COLUMNS)} FROM runs "  # noqa: S608  (names of our own)
                "ORDER BY pending_at DESC, run_id DESC LIMIT ?",
                (-1 if limit is None else limit,),
            )
            return [_run(dict(zip(_COLUMNS, row, strict=True))) for row in rows]
    except sqlite3.Error:
        return None


def _run(row: dict[str, Any]) -> Run:
    return run_of({**row, **{name: unpack(row[name]) for name in _PACKED}})
