"""`FedAvgAndroid` at its old path; see `flwr.compat.strategy.fedavg_android`."""

from flwr.compat.strategy.fedavg_android import FedAvgAndroid

__all__ = ["FedAvgAndroid"]
