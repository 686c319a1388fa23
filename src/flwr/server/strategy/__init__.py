"""The strategies of the legacy API."""

from flwr.compat.strategy.fedavg import FedAvg as FedAvg
from flwr.compat.strategy.strategy import Strategy as Strategy

__all__ = ["FedAvg", "Strategy"]
