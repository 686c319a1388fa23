"""``Result``: what a strategy gives back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pprint import pformat

from flwr.app import ArrayRecord, MetricRecord
from flwr.serverapp.strategy.summary import megabytes


@dataclass
class Result:
    """The model and the metrics of a strategy's rounds.

    Attributes
    ----------
    arrays : ArrayRecord
        The last aggregated model; empty if no round aggregated one.
    train_metrics_clientapp, evaluate_metrics_clientapp : dict[int, MetricRecord]
        By round: the aggregated metrics of training and of evaluation on the nodes.
    evaluate_metrics_serverapp : dict[int, MetricRecord]
        By round: what ``evaluate_fn`` returned; round 0 is the initial model.
    """

    arrays: ArrayRecord = field(default_factory=ArrayRecord)
    train_metrics_clientapp: dict[int, MetricRecord] = field(default_factory=dict)
    evaluate_metrics_clientapp: dict[int, MetricRecord] = field(default_factory=dict)
    evaluate_metrics_serverapp: dict[int, MetricRecord] = field(default_factory=dict)

    def __repr__(self) -> str:
        return (
            f"Global Arrays:\n\tArrayRecord ({megabytes(self.arrays):.3f} MB)\n\n"
            "Aggregated ClientApp-side Train Metrics:\n"
            f"{_by_round(self.train_metrics_clientapp)}\n\n"
            "Aggregated ClientApp-side Evaluate Metrics:\n"
            f"{_by_round(self.evaluate_metrics_clientapp)}\n\n"
            "ServerApp-side Evaluate Metrics:\n"
            f"{_by_round(self.evaluate_metrics_serverapp)}\n"
        )


def _by_round(metrics: Mapping[int, Mapping[str, object]]) -> str:
    shown = {
        server_round: {key: _shown(value) for key, value in record.items()}
        for server_round, record in metrics.items()
    }
    return pformat(shown, indent=2)


def _shown(value: object) -> str:
    if isinstance(value, list):
        return str([_shown(item) for item in value])
    return f"{value:.4e}" if isinstance(value, float) else str(value)
