"""`FaultTolerantFedAvg` at its old path; see `flwr.compat.strategy.fault_tolerant_fedavg`."""

from flwr.compat.strategy.fault_tolerant_fedavg import FaultTolerantFedAvg

__all__ = ["FaultTolerantFedAvg"]
