"""The strategies of the legacy API; new apps use `flwr.serverapp.strategy`."""

from flwr.compat.strategy.bulyan import Bulyan as Bulyan
from flwr.compat.strategy.dp_adaptive_clipping import (
    DifferentialPrivacyClientSideAdaptiveClipping as DifferentialPrivacyClientSideAdaptiveClipping,
)
from flwr.compat.strategy.dp_adaptive_clipping import (
    DifferentialPrivacyServerSideAdaptiveClipping as DifferentialPrivacyServerSideAdaptiveClipping,
)
from flwr.compat.strategy.dp_fixed_clipping import (
    DifferentialPrivacyClientSideFixedClipping as DifferentialPrivacyClientSideFixedClipping,
)
from flwr.compat.strategy.dp_fixed_clipping import (
    DifferentialPrivacyServerSideFixedClipping as DifferentialPrivacyServerSideFixedClipping,
)
from flwr.compat.strategy.dpfedavg_adaptive import DPFedAvgAdaptive as DPFedAvgAdaptive
from flwr.compat.strategy.dpfedavg_fixed import DPFedAvgFixed as DPFedAvgFixed
from flwr.compat.strategy.fault_tolerant_fedavg import FaultTolerantFedAvg as FaultTolerantFedAvg
from flwr.compat.strategy.fedadagrad import FedAdagrad as FedAdagrad
from flwr.compat.strategy.fedadam import FedAdam as FedAdam
from flwr.compat.strategy.fedavg import FedAvg as FedAvg
from flwr.compat.strategy.fedavg_android import FedAvgAndroid as FedAvgAndroid
from flwr.compat.strategy.fedavgm import FedAvgM as FedAvgM
from flwr.compat.strategy.fedmedian import FedMedian as FedMedian
from flwr.compat.strategy.fedopt import FedOpt as FedOpt
from flwr.compat.strategy.fedprox import FedProx as FedProx
from flwr.compat.strategy.fedtrimmedavg import FedTrimmedAvg as FedTrimmedAvg
from flwr.compat.strategy.fedxgb_bagging import FedXgbBagging as FedXgbBagging
from flwr.compat.strategy.fedxgb_cyclic import FedXgbCyclic as FedXgbCyclic
from flwr.compat.strategy.fedxgb_nn_avg import FedXgbNnAvg as FedXgbNnAvg
from flwr.compat.strategy.fedyogi import FedYogi as FedYogi
from flwr.compat.strategy.krum import Krum as Krum
from flwr.compat.strategy.qfedavg import QFedAvg as QFedAvg
from flwr.compat.strategy.strategy import Strategy as Strategy

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
