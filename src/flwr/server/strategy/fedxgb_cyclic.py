"""`FedXgbCyclic` at its old path; see `flwr.compat.strategy.fedxgb_cyclic`."""

from flwr.compat.strategy.fedxgb_cyclic import FedXgbCyclic

__all__ = ["FedXgbCyclic"]
