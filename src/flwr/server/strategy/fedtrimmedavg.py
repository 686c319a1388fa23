"""`FedTrimmedAvg` at its old path; see `flwr.compat.strategy.fedtrimmedavg`."""

from flwr.compat.strategy.fedtrimmedavg import FedTrimmedAvg

__all__ = ["FedTrimmedAvg"]
