"""What an app may know of its run."""

from dataclasses import dataclass, field
from typing import Any

SUPERLINK_NODE_ID = 1  # the sender of a ServerApp's messages


@dataclass(frozen=True)
class RunStatus:
    """State of a run: ``running``, or ``finished`` with a sub-status."""

    status: str
    sub_status: str = ""
    details: str = ""


@dataclass(frozen=True)
class RunInfo:
    """What an app may know of its run."""

    run_id: int
    fab_id: str = ""
    fab_version: str = ""
    fab_hash: str = ""
    override_config: dict[str, Any] = field(default_factory=dict)
    pending_at: str = ""
    starting_at: str = ""
    running_at: str = ""
    finished_at: str = ""
    status: RunStatus = RunStatus("running")
