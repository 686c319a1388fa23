"""`FedMedian` at its old path; see `flwr.compat.strategy.fedmedian`."""

from flwr.compat.strategy.fedmedian import FedMedian

__all__ = ["FedMedian"]
