"""`FedAdagrad` at its old path; see `flwr.compat.strategy.fedadagrad`."""

from flwr.compat.strategy.fedadagrad import FedAdagrad

__all__ = ["FedAdagrad"]
