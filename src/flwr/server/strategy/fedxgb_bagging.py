"""`FedXgbBagging` at its old path; see `flwr.compat.strategy.fedxgb_bagging`."""

from flwr.compat.strategy.fedxgb_bagging import FedXgbBagging

__all__ = ["FedXgbBagging"]
