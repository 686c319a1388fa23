"""Runs to create in tests, here and in the programs that tests start."""

import subprocess
from collections.abc import Callable

from flwr.store import NewRun, new_run_id

Script = Callable[..., "subprocess.Popen[str]"]


def new_run(run_id: int | None = None) -> NewRun:
    """A run to create."""
    return NewRun(
        run_id=new_run_id() if run_id is None else run_id,
        fab_id="acme/quickapp",
        fab_version="1.0.0",
        fab_hash="ab" * 32,
        federation="local-simulation",
        app_dir="/apps/quickapp",
        run_config={"num-server-rounds": 3, "learning-rate": 0.1, "name": "é", "fast": True},
        options={"num-supernodes": 10},
    )
