"""`FedAvgM` at its old path; see `flwr.compat.strategy.fedavgm`."""

from flwr.compat.strategy.fedavgm import FedAvgM

__all__ = ["FedAvgM"]
