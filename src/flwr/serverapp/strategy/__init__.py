"""Strategies: who is asked in a round, and how replies become one model."""

from flwr.serverapp.strategy.bulyan import Bulyan as Bulyan
from flwr.serverapp.strategy.dp_adaptive_clipping import (
    DifferentialPrivacyClientSideAdaptiveClipping as DifferentialPrivacyClientSideAdaptiveClipping,
)
from flwr.serverapp.strategy.dp_adaptive_clipping import (
    DifferentialPrivacyServerSideAdaptiveClipping as DifferentialPrivacyServerSideAdaptiveClipping,
)
from flwr.serverapp.strategy.dp_fixed_clipping import (
    DifferentialPrivacyClientSideFixedClipping as DifferentialPrivacyClientSideFixedClipping,
)
from flwr.serverapp.strategy.dp_fixed_clipping import (
    DifferentialPrivacyServerSideFixedClipping as DifferentialPrivacyServerSideFixedClipping,
)
from flwr.serverapp.strategy.fedadagrad import FedAdagrad as FedAdagrad
from flwr.serverapp.strategy.fedadam import FedAdam as FedAdam
from flwr.serverapp.strategy.fedavg import FedAvg as FedAvg
from flwr.serverapp.strategy.fedavgm import FedAvgM as FedAvgM
from flwr.serverapp.strategy.fedmedian import FedMedian as FedMedian
from flwr.serverapp.strategy.fedprox import FedProx as FedProx
from flwr.serverapp.strategy.fedtrimmedavg import FedTrimmedAvg as FedTrimmedAvg
from flwr.serverapp.strategy.fedxgb_bagging import FedXgbBagging as FedXgbBagging
from flwr.serverapp.strategy.fedxgb_cyclic import FedXgbCyclic as FedXgbCyclic
from flwr.serverapp.strategy.fedyogi import FedYogi as FedYogi
from flwr.serverapp.strategy.krum import Krum as Krum
from flwr.serverapp.strategy.multikrum import MultiKrum as MultiKrum
from flwr.serverapp.strategy.qfedavg import QFedAvg as QFedAvg
from flwr.serverapp.strategy.result import Result as Result
from flwr.serverapp.strategy.strategy import Strategy as Strategy

__all__ = [
    "Bulyan",
    "DifferentialPrivacyClientSideAdaptiveClipping",
    "DifferentialPrivacyClientSideFixedClipping",
    "DifferentialPrivacyServerSideAdaptiveClipping",
    "DifferentialPrivacyServerSideFixedClipping",
    "FedAdagrad",
    "FedAdam",
    "FedAvg",
    "FedAvgM",
    "FedMedian",
    "FedProx",
    "FedTrimmedAvg",
    "FedXgbBagging",
    "FedXgbCyclic",
    "FedYogi",
    "Krum",
    "MultiKrum",
    "QFedAvg",
    "Result",
    "Strategy",
]
