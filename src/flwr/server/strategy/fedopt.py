"""`FedOpt` at its old path; see `flwr.compat.strategy.fedopt`."""

from flwr.compat.strategy.fedopt import FedOpt

__all__ = ["FedOpt"]
