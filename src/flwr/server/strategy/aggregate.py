"""The rules of strategies as functions, at their old path; see `flwr.compat.strategy.aggregate`."""

from flwr.compat.strategy.aggregate import (
    aggregate,
    aggregate_bulyan,
    aggregate_inplace,
    aggregate_krum,
    aggregate_median,
    aggregate_qffl,
    aggregate_trimmed_avg,
    weighted_loss_avg,
)

__all__ = [
    "aggregate",
    "aggregate_bulyan",
    "aggregate_inplace",
    "aggregate_krum",
    "aggregate_median",
    "aggregate_qffl",
    "aggregate_trimmed_avg",
    "weighted_loss_avg",
]
