"""Durable state: runs, their states and events, in one SQLite file that several processes share.

``lifecycle``, ``progress`` and ``records`` are pure; ``runs`` holds the statements, ``schema`` the
tables, ``database`` opens a file, ``writer`` commits in groups, ``rundir`` is a run's folder;
``glance`` lists runs that have ended without loading SQLAlchemy.

A hub keeps more in the same file. ``hub`` is its face, ``hubrecords`` what that takes and gives;
the statements are in ``nodes``, ``mailbox``, ``contents`` and ``apps``, compiled once by
``compiled``; ``blobs`` is the folder of objects, ``folderlock`` keeps a second hub out of it.
"""

from typing import TYPE_CHECKING

from flwr.store.lifecycle import RunEvent, RunState
from flwr.store.records import NewRun, RecordedEvent, Run, UnknownEvent, new_run_id
from flwr.store.rundir import RunDir, reap_dead_runs

if TYPE_CHECKING:
    from flwr.store.store import Store

__all__ = [
    "NewRun",
    "RecordedEvent",
    "Run",
    "RunDir",
    "RunEvent",
    "RunState",
    "Store",
    "UnknownEvent",
    "new_run_id",
    "reap_dead_runs",
]


def __getattr__(name: str) -> type:
    if name != "Store":
        raise AttributeError(f"module 'flwr.store' has no attribute {name!r}")
    from flwr.store.store import Store  # on first use: it loads SQLAlchemy

    return Store
