"""`FedProx` at its old path; see `flwr.compat.strategy.fedprox`."""

from flwr.compat.strategy.fedprox import FedProx

__all__ = ["FedProx"]
