"""The names of the legacy strategies, at all their paths."""

import importlib
import inspect
import pydoc

import pytest

from flwr.compat.strategy.updates import InconsistentResultsError
from flwr.server import strategy
from flwr.server.strategy import FedAvg, Strategy

MODULES = {
    "bulyan": ["Bulyan"],
    "dp_adaptive_clipping": [
        "DifferentialPrivacyClientSideAdaptiveClipping",
        "DifferentialPrivacyServerSideAdaptiveClipping",
    ],
    "dp_fixed_clipping": [
        "DifferentialPrivacyClientSideFixedClipping",
        "DifferentialPrivacyServerSideFixedClipping",
    ],
    "dpfedavg_adaptive": ["DPFedAvgAdaptive"],
    "dpfedavg_fixed": ["DPFedAvgFixed"],
    "fault_tolerant_fedavg": ["FaultTolerantFedAvg"],
    "fedadagrad": ["FedAdagrad"],
    "fedadam": ["FedAdam"],
    "fedavg": ["FedAvg"],
    "fedavg_android": ["FedAvgAndroid"],
    "fedavgm": ["FedAvgM"],
    "fedmedian": ["FedMedian"],
    "fedopt": ["FedOpt"],
    "fedprox": ["FedProx"],
    "fedtrimmedavg": ["FedTrimmedAvg"],
    "fedxgb_bagging": ["FedXgbBagging"],
    "fedxgb_cyclic": ["FedXgbCyclic"],
    "fedxgb_nn_avg": ["FedXgbNnAvg"],
    "fedyogi": ["FedYogi"],
    "krum": ["Krum"],
    "qfedavg": ["QFedAvg"],
    "strategy": ["Strategy"],
}


def test_all_are_exported() -> None:
    assert sorted(strategy.__all__) == sorted(name for names in MODULES.values() for name in names)


@pytest.mark.parametrize("module", MODULES)
def test_each_lives_in_its_own_module_too(module: str) -> None:
    there = importlib.import_module(f"flwr.server.strategy.{module}")
    for name in MODULES[module]:
        assert getattr(there, name) is getattr(strategy, name)
        assert name in there.__all__


def test_the_functions_are_there() -> None:
    there = importlib.import_module("flwr.server.strategy.aggregate")
    assert sorted(there.__all__) == [
        "aggregate",
        "aggregate_bulyan",
        "aggregate_inplace",
        "aggregate_krum",
        "aggregate_median",
        "aggregate_qffl",
        "aggregate_trimmed_avg",
        "weighted_loss_avg",
    ]
    assert all(inspect.isfunction(getattr(there, name)) for name in there.__all__)


def test_kinship() -> None:
    for name in strategy.__all__:
        assert issubclass(getattr(strategy, name), Strategy)
    wrappers = {name for name in strategy.__all__ if name.startswith(("DPFed", "Differential"))}
    for name in set(strategy.__all__) - wrappers - {"Strategy"}:
        assert issubclass(getattr(strategy, name), FedAvg)
    for name in ("FedAdagrad", "FedAdam", "FedYogi"):
        assert issubclass(getattr(strategy, name), strategy.FedOpt)
    assert issubclass(strategy.DPFedAvgAdaptive, strategy.DPFedAvgFixed)
    for cls, name in ((strategy.FedOpt, "current_weights"), (strategy.QFedAvg, "pre_weights")):
        assert getattr(cls, name) is vars(cls)[name]


def test_the_six_methods_are_abstract() -> None:
    assert Strategy.__abstractmethods__ == {
        "initialize_parameters",
        "configure_fit",
        "aggregate_fit",
        "configure_evaluate",
        "aggregate_evaluate",
        "evaluate",
    }


@pytest.mark.parametrize("name", strategy.__all__)
def test_help_can_be_asked_for(name: str) -> None:
    assert name in pydoc.render_doc(getattr(strategy, name))


def test_representations() -> None:
    assert repr(strategy.FedMedian(accept_failures=False)) == "FedMedian(accept_failures=False)"
    assert repr(strategy.FaultTolerantFedAvg()) == "FaultTolerantFedAvg()"


def test_an_error_about_results_is_upstreams_kind_of_error() -> None:
    assert issubclass(InconsistentResultsError, ValueError)
