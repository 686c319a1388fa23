"""Strategies: who is asked in a round, and how replies become one model."""

from flwr.serverapp.strategy.fedadagrad import FedAdagrad as FedAdagrad
from flwr.serverapp.strategy.fedadam import FedAdam as FedAdam
from flwr.serverapp.strategy.fedavg import FedAvg as FedAvg
from flwr.serverapp.strategy.fedavgm import FedAvgM as FedAvgM
from flwr.serverapp.strategy.fedprox import FedProx as FedProx
from flwr.serverapp.strategy.fedxgb_bagging import FedXgbBagging as FedXgbBagging
from flwr.serverapp.strategy.fedxgb_cyclic import FedXgbCyclic as FedXgbCyclic
from flwr.serverapp.strategy.fedyogi import FedYogi as FedYogi
from flwr.serverapp.strategy.qfedavg import QFedAvg as QFedAvg
from flwr.serverapp.strategy.result import Result as Result
from flwr.serverapp.strategy.strategy import Strategy as Strategy

__all__ = [
    "FedAdagrad",
    "FedAdam",
    "FedAvg",
    "FedAvgM",
    "FedProx",
    "FedXgbBagging",
    "FedXgbCyclic",
    "FedYogi",
    "QFedAvg",
    "Result",
    "Strategy",
]
