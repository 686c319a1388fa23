"""`QFedAvg` at its old path; see `flwr.compat.strategy.qfedavg`."""

from flwr.compat.strategy.qfedavg import QFedAvg

__all__ = ["QFedAvg"]
