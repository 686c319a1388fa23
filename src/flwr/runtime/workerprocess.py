"""What a run's process knows of its workers."""

import signal
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from flwr.runtime.channel import Channel
from flwr.runtime.codec import ReceivedLayouts, SentLayouts
from flwr.runtime.segments import Segment
from flwr.runtime.tasks import Task


@dataclass(eq=False)
class WorkerProcess:
    """What the parent knows of one worker."""

    index: int
    channel: Channel
    status: Any  # shared with it: the number of the task it handles
    sent_layouts: SentLayouts = field(default_factory=SentLayouts)
    received_layouts: ReceivedLayouts = field(default_factory=ReceivedLayouts)
    mapped: set[int] = field(default_factory=set)  # keys of segments
    running: dict[int, Task] = field(default_factory=dict)
    batches: deque[int] = field(default_factory=deque)  # tasks left of each, the current one first
    pid: int = 0

    @property
    def culprit(self) -> int:
        """The number of the task that it handled last."""
        return int(self.status[0]) - 1

    def announce(self, segment: Segment, segments: list[Segment]) -> None:
        """Add a segment to those that the next message brings, unless the worker has it."""
        if segment.key not in self.mapped:
            self.mapped.add(segment.key)
            segments.append(segment)


def describe_end(status: int, pid: int) -> str:
    """Say how a worker process ended."""
    if status < 0:
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = f"signal {-status}"
        why = f"was ended by {name}"
        if name == "SIGKILL":
            why += " (often the system's out-of-memory killer)"
    else:
        why = f"exited with status {status}"
    return f"WorkerCrashed: the worker process {pid} {why} while it handled this message."
