"""How far the rounds of a strategy have come, as data from which they can go on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, MetricRecord
from flwr.serverapp.strategy.result import Result

_METRICS = (
    "train_metrics_clientapp",
    "evaluate_metrics_clientapp",
    "evaluate_metrics_serverapp",
)


@dataclass
class Reached:
    """What the loop hands from round to round.

    Attributes
    ----------
    round : int
        The last round whose training is done; 0 before the first one.
    arrays : ArrayRecord
        The current model.
    train_config, evaluate_config : ConfigRecord
        The configurations, with what the strategy has changed in them.
    result : Result
        What the rounds gave so far.
    evaluated : bool
        Whether the nodes have evaluated what that round's training gave.
    """

    round: int
    arrays: ArrayRecord
    train_config: ConfigRecord
    evaluate_config: ConfigRecord
    result: Result = field(default_factory=Result)
    evaluated: bool = True

    @property
    def next_round(self) -> int:
        """The first round that is not complete."""
        return self.round + 1 if self.evaluated else self.round

    def state_dict(self) -> dict[str, Any]:
        """Return all of it as plain data, which later rounds do not change."""
        return {
            "round": self.round,
            "evaluated": self.evaluated,
            "arrays": self.arrays.copy(),
            "aggregated": len(self.result.arrays) > 0,
            "train_config": dict(self.train_config),
            "evaluate_config": dict(self.evaluate_config),
            **{name: _plain(getattr(self.result, name)) for name in _METRICS},
        }

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any]) -> "Reached":
        """Return what `state_dict` described."""
        arrays = state["arrays"].copy()
        metrics = {
            name: {int(number): MetricRecord(each) for number, each in state[name].items()}
            for name in _METRICS
        }
        return cls(
            round=state["round"],
            evaluated=state["evaluated"],
            arrays=arrays,
            train_config=ConfigRecord(dict(state["train_config"])),
            evaluate_config=ConfigRecord(dict(state["evaluate_config"])),
            result=Result(arrays if state["aggregated"] else ArrayRecord(), **metrics),
        )


def _plain(metrics: Mapping[int, MetricRecord]) -> dict[int, dict[str, Any]]:
    return {server_round: dict(record) for server_round, record in metrics.items()}
