"""`FedXgbNnAvg` at its old path; see `flwr.compat.strategy.fedxgb_nn_avg`."""

from flwr.compat.strategy.fedxgb_nn_avg import FedXgbNnAvg

__all__ = ["FedXgbNnAvg"]
