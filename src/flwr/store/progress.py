"""How far a run is, folded from its events. Pure."""

from dataclasses import dataclass, field, replace
from typing import Any

from flwr.app.events import (
    Aggregated,
    Event,
    Exchange,
    RoundFinished,
    RoundStarted,
    RunStarted,
    ServerEvaluated,
)
from flwr.store.records import UnknownEvent


@dataclass(frozen=True, slots=True)
class Progress:
    """What events add up to; each field is a column of ``runs``."""

    nodes: int | None = None
    rounds_done: int = 0
    rounds: int | None = None
    failures: int = 0
    client_seconds: float = 0.0
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)


def advance(progress: Progress, event: Event | UnknownEvent) -> Progress:
    """Return `progress` after one more event."""
    changes: dict[str, Any] = {}
    match event:
        case RunStarted(nodes=nodes):
            changes = {"nodes": nodes}
        case RoundStarted(of=of):
            changes = {"rounds": of}
        case RoundFinished(round=done, of=of):
            changes = {"rounds_done": done, "rounds": of}
        case Exchange(outcomes=outcomes):
            failures, seconds = progress.failures, progress.client_seconds
            for outcome in outcomes:
                failures += outcome.error is not None
                seconds += outcome.seconds
            changes = {"failures": failures, "client_seconds": seconds}
        case Aggregated(phase=phase, metrics=metrics) if metrics:
            changes = {"metrics": {**progress.metrics, phase: metrics}}
        case ServerEvaluated(metrics=metrics):
            changes = {"metrics": {**progress.metrics, "server": metrics}}
    return replace(progress, **changes) if changes else progress
