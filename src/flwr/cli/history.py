"""What a run has told about itself so far, gathered from its events."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
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
from flwr.runtime.facts import Told
from flwr.runtime.tally import Tallies

_WEIGHTS = {"num-examples", "num_examples"}  # what averages are weighted by is no result
_SOURCES = ("server", "evaluate", "train", "query")  # the most telling first
Metric = tuple[str, str]  # its source and its name
Series = dict[Metric, list[tuple[int, float]]]


@dataclass
class Round:
    """One round.

    Attributes
    ----------
    number : int
        From 1; 0 is the test of the initial model.
    seconds : float or None
        How long it took; None while it runs.
    replies, failures : int
        Of its train and evaluate messages together.
    metrics : dict
        Metrics by source (``server``, ``evaluate``, ``train``) and name.
    """

    number: int
    seconds: float | None = None
    replies: int = 0
    failures: int = 0
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)

    def headline(self) -> dict[str, float]:
        """Return up to three metrics worth a line: loss and accuracy of the best source."""
        for source in _SOURCES:
            if metrics := self.metrics.get(source):
                return dict(sorted(metrics.items(), key=lambda item: _rank(item[0]))[:3])
        return {}


class History:
    """The rounds of a run, its failures, and its size.

    Attributes
    ----------
    nodes, workers : int
        As the run's start told.
    rounds : list of Round
        In the order they were run.
    planned : int
        How many rounds there will be; 0 if the app does not say.
    exchanges : int
        Batches of messages sent and answered.
    tallies : Tallies
        The messages in them, by their type.
    first_failure : tuple of (int, str) or None
        Node id and error of the first of them.
    told : Told
        What a diagnosis is made from.
    """

    def __init__(self) -> None:
        self.nodes = 0
        self.workers = 0
        self.rounds: list[Round] = []
        self.planned = 0
        self.exchanges = 0
        self.tallies = Tallies()
        self.first_failure: tuple[int, str] | None = None
        self.told = Told()

    def add(self, event: Event) -> None:
        """Take note of one event."""
        self.told.add(event)
        self.tallies.add(event)
        if isinstance(event, Exchange):
            self._add_exchange(event)
        elif isinstance(event, Aggregated):
            current = self._round(event.round)
            current.replies += event.replies
            current.failures += event.failures
            current.metrics.setdefault(event.phase, {}).update(_numbers(event.metrics))
        elif isinstance(event, ServerEvaluated):
            metrics = self._round(event.round).metrics.setdefault("server", {})
            metrics.update(_numbers(event.metrics))
        elif isinstance(event, RoundFinished):
            self._round(event.round).seconds = event.seconds
        elif isinstance(event, RoundStarted):
            self._round(event.round)
            self.planned = event.of
        elif isinstance(event, RunStarted):
            self.nodes, self.workers = event.nodes, event.workers

    @property
    def failures(self) -> int:
        """How many messages of any type came back as errors."""
        return self.tallies.of().failures

    @property
    def finished_rounds(self) -> list[Round]:
        """The rounds that came to their end."""
        return [each for each in self.rounds if each.seconds is not None]

    def series(self) -> Series:
        """Return each metric's values by round: ``{("server", "loss"): [(1, 0.5), (2, nan)]}``."""
        series: Series = {}
        for position, each in enumerate(self.rounds):
            x = position if self.rounds[0].number == 0 else position + 1
            for source, metrics in each.metrics.items():
                for name, value in metrics.items():
                    series.setdefault((source, name), []).append((x, value))
        return dict(sorted(series.items(), key=lambda item: _metric_rank(item[0])))

    def _round(self, number: int) -> Round:
        """Return the record of the round that runs; a strategy started again begins anew."""
        if not self.rounds or self.rounds[-1].number != number:
            self.rounds.append(Round(number))
        return self.rounds[-1]

    def _add_exchange(self, event: Exchange) -> None:
        self.exchanges += 1
        for outcome in event.outcomes:
            if outcome.error is not None and self.first_failure is None:
                self.first_failure = outcome.node_id, outcome.error


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    return {
        name: value
        for name, value in metrics.items()
        if isinstance(value, (int, float)) and name not in _WEIGHTS
    }


def _rank(name: str) -> int:
    lower = name.lower()
    return 0 if "loss" in lower else 1 if "acc" in lower else 2


def _metric_rank(metric: Metric) -> tuple[int, int]:
    source, name = metric
    return _SOURCES.index(source) if source in _SOURCES else len(_SOURCES), _rank(name)


def metric_label(metric: Metric) -> str:
    """Return a metric's name for people, such as ``server loss`` or ``train-loss``."""
    source, name = metric
    return name if name.lower().startswith(source) else f"{source} {name}"


def finite(series: Series) -> Series:
    """Return what of it can be drawn."""
    drawn = {
        metric: [(x, value) for x, value in points if math.isfinite(value)]
        for metric, points in series.items()
    }
    return {metric: points for metric, points in drawn.items() if points}
