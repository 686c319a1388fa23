"""What events add up to."""

from functools import reduce

from flwr.app.events import (
    Aggregated,
    Event,
    Exchange,
    MetricValues,
    NodeOutcome,
    Phase,
    RoundFinished,
    RoundStarted,
    RunFinished,
    RunStarted,
    ServerEvaluated,
)
from flwr.store.progress import Progress, advance


def fold(*events: Event) -> Progress:
    return reduce(advance, events, Progress())


def aggregated(phase: Phase, metrics: MetricValues) -> Aggregated:
    return Aggregated(round=1, phase=phase, replies=2, failures=0, metrics=metrics, nodes=[])


def test_nothing_is_known_before_the_first_event() -> None:
    assert fold() == Progress(
        nodes=None, rounds_done=0, rounds=None, failures=0, client_seconds=0.0, metrics={}
    )


def test_nodes_and_rounds() -> None:
    progress = fold(
        RunStarted(app="a", nodes=7, workers=2),
        RoundStarted(round=1, of=3),
        RoundFinished(round=1, of=3, seconds=0.5),
        RoundStarted(round=2, of=3),
    )
    assert (progress.nodes, progress.rounds_done, progress.rounds) == (7, 1, 3)


def test_failures_and_seconds_of_clients_add_up() -> None:
    outcomes = [NodeOutcome(1, 0.25, None), NodeOutcome(2, 0.5, "ValueError: no")]
    exchange = Exchange(message_type="train", group_id="1", seconds=1.0, outcomes=outcomes)
    progress = fold(exchange, exchange)
    assert (progress.failures, progress.client_seconds) == (2, 1.5)


def test_metrics_are_the_newest_of_each_phase() -> None:
    progress = fold(
        aggregated("train", {"loss": 2.0}),
        aggregated("evaluate", {"accuracy": 0.5}),
        aggregated("train", {"loss": 1.0}),
        aggregated("evaluate", {}),
        ServerEvaluated(round=1, metrics={"accuracy": 0.75}),
    )
    assert progress.metrics == {
        "train": {"loss": 1.0},
        "evaluate": {"accuracy": 0.5},
        "server": {"accuracy": 0.75},
    }


def test_the_end_changes_nothing() -> None:
    started = RunStarted(app="a", nodes=7, workers=2)
    assert fold(started, RunFinished(status="completed", details="")) == fold(started)
