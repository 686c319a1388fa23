"""`FedAdam` at its old path; see `flwr.compat.strategy.fedadam`."""

from flwr.compat.strategy.fedadam import FedAdam

__all__ = ["FedAdam"]
