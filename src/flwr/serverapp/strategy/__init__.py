"""Strategies: who is asked in a round, and how replies become one model."""

from flwr.serverapp.strategy.fedavg import FedAvg as FedAvg
from flwr.serverapp.strategy.fedxgb_bagging import FedXgbBagging as FedXgbBagging
from flwr.serverapp.strategy.fedxgb_cyclic import FedXgbCyclic as FedXgbCyclic
from flwr.serverapp.strategy.result import Result as Result
from flwr.serverapp.strategy.strategy import Strategy as Strategy

__all__ = ["FedAvg", "FedXgbBagging", "FedXgbCyclic", "Result", "Strategy"]
