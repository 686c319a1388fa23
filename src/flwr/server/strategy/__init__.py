"""The strategies of the legacy API; new apps use `flwr.serverapp.strategy`."""

from flwr.server.strategy import aggregate as aggregate
from flwr.server.strategy.bulyan import Bulyan as Bulyan
from flwr.server.strategy.dp_adaptive_clipping import (
    DifferentialPrivacyClientSideAdaptiveClipping as DifferentialPrivacyClientSideAdaptiveClipping,
)
from flwr.server.strategy.dp_adaptive_clipping import (
    DifferentialPrivacyServerSideAdaptiveClipping as DifferentialPrivacyServerSideAdaptiveClipping,
)
from flwr.server.strategy.dp_fixed_clipping import (
    DifferentialPrivacyClientSideFixedClipping as DifferentialPrivacyClientSideFixedClipping,
)
from flwr.server.strategy.dp_fixed_clipping import (
    DifferentialPrivacyServerSideFixedClipping as DifferentialPrivacyServerSideFixedClipping,
)
from flwr.server.strategy.dpfedavg_adaptive import DPFedAvgAdaptive as DPFedAvgAdaptive
from flwr.server.strategy.dpfedavg_fixed import DPFedAvgFixed as DPFedAvgFixed
from flwr.server.strategy.fault_tolerant_fedavg import FaultTolerantFedAvg as FaultTolerantFedAvg
from flwr.server.strategy.fedadagrad import FedAdagrad as FedAdagrad
from flwr.server.strategy.fedadam import FedAdam as FedAdam
from flwr.server.strategy.fedavg import FedAvg as FedAvg
from flwr.server.strategy.fedavg_android import FedAvgAndroid as FedAvgAndroid
from flwr.server.strategy.fedavgm import FedAvgM as FedAvgM
from flwr.server.strategy.fedmedian import FedMedian as FedMedian
from flwr.server.strategy.fedopt import FedOpt as FedOpt
from flwr.server.strategy.fedprox import FedProx as FedProx
from flwr.server.strategy.fedtrimmedavg import FedTrimmedAvg as FedTrimmedAvg
from flwr.server.strategy.fedxgb_bagging import FedXgbBagging as FedXgbBagging
from flwr.server.strategy.fedxgb_cyclic import FedXgbCyclic as FedXgbCyclic
from flwr.server.strategy.fedxgb_nn_avg import FedXgbNnAvg as FedXgbNnAvg
from flwr.server.strategy.fedyogi import FedYogi as FedYogi
from flwr.server.strategy.krum import Krum as Krum
from flwr.server.strategy.qfedavg import QFedAvg as QFedAvg
from flwr.server.strategy.strategy import Strategy as Strategy

__all__ = [
    "Bulyan",
    "DPFedAvgAdaptive",
    "DPFedAvgFixed",
    "DifferentialPrivacyClientSideAdaptiveClipping",
    "DifferentialPrivacyClientSideFixedClipping",
    "DifferentialPrivacyServerSideAdaptiveClipping",
    "DifferentialPrivacyServerSideFixedClipping",
    "FaultTolerantFedAvg",
    "FedAdagrad",
    "FedAdam",
    "FedAvg",
    "FedAvgAndroid",
    "FedAvgM",
    "FedMedian",
    "FedOpt",
    "FedProx",
    "FedTrimmedAvg",
    "FedXgbBagging",
    "FedXgbCyclic",
    "FedXgbNnAvg",
    "FedYogi",
    "Krum",
    "QFedAvg",
    "Strategy",
]
