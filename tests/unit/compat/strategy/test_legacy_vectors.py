"""The legacy strategies give the numbers of the papers, upstream's defects apart."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from legacy_rounds import (
    VECTORS,
    by_clients,
    fit_res,
    manager_of,
    model_of,
    round_of,
    trained,
)

from flwr.compat.parameters import parameters_to_ndarrays
from flwr.compat.typing import Parameters
from flwr.server import strategy as legacy
from flwr.server.strategy import FedAvg, Strategy

Make = Callable[..., Strategy]

START = model_of([0.0])  # replaced by what the rounds are configured with
MAKE: dict[str, Make] = {
    "FedAvg": FedAvg,
    "FedAvgM": legacy.FedAvgM,
    "FedAdagrad": lambda **kw: legacy.FedAdagrad(initial_parameters=START, **kw),
    "FedAdam": lambda **kw: legacy.FedAdam(initial_parameters=START, **kw),
    "FedYogi": lambda **kw: legacy.FedYogi(initial_parameters=START, **kw),
    "FedMedian": legacy.FedMedian,
    "FedTrimmedAvg": lambda beta, **_: legacy.FedTrimmedAvg(beta=beta),
    "Krum": lambda num_malicious: legacy.Krum(num_malicious_clients=num_malicious),
    "MultiKrum": lambda num_malicious, num_to_keep: legacy.Krum(
        num_malicious_clients=num_malicious, num_clients_to_keep=num_to_keep
    ),
    "Bulyan": lambda num_malicious, **_: legacy.Bulyan(num_malicious_clients=num_malicious),
    "QFedAvg": lambda q, client_learning_rate, train_loss_key: legacy.QFedAvg(
        q_param=q, qffl_learning_rate=client_learning_rate, train_loss_key=train_loss_key
    ),
    "DifferentialPrivacyServerSideFixedClipping": lambda **kw: (
        legacy.DifferentialPrivacyServerSideFixedClipping(FedAvg(), **kw)
    ),
}
ELSEWHERE = {
    "FaultTolerantFedAvg", "FedAvgAndroid", "FedXgbBagging", "sampling", "DPFedAvgAdaptive",
    "DifferentialPrivacy*AdaptiveClipping", "adaptive noise split", "FedProx", "LocalDpMod",
}  # fmt: skip


def test_every_vector_is_used() -> None:
    assert {vector["rule"] for vector in VECTORS.values()} == MAKE.keys() | ELSEWHERE


@pytest.mark.parametrize(
    "vector", [v for v in VECTORS.values() if v["rule"] in MAKE], ids=lambda v: str(v["id"])
)
def test_vectors(vector: dict[str, Any]) -> None:
    dtype = vector.get("dtype", "float64")
    strategy = MAKE[vector["rule"]](**vector["params"])
    current = vector["initial"]
    for number, each in enumerate(vector["rounds"], start=1):
        current = each.get("current", current)
        answers = by_clients(
            fit_res(model_of(*r["arrays"], dtype=dtype), r["num_examples"], **r["metrics"])
            for r in each["replies"]
        )
        parameters, _ = round_of(strategy, model_of(*current, dtype=dtype), answers, number)
        assert parameters is not None
        for array, expected in zip(
            parameters_to_ndarrays(parameters), each["expected"], strict=True
        ):
            assert array.dtype == np.dtype(dtype)
            np.testing.assert_allclose(array, expected, rtol=vector["rtol"], atol=1e-15)
        current = each["expected"]


def test_fault_tolerant_skips_below_the_rate_only() -> None:
    vector = VECTORS["faulttolerant"]
    strategy = legacy.FaultTolerantFedAvg(**vector["params"])
    for number, each in enumerate(vector["rounds"], start=1):
        results = trained(
            *(r["arrays"] for r in each["replies"]),
            examples=[r["num_examples"] for r in each["replies"]],
        )
        failures: list[Any] = [ValueError()] * each["num_failures"]
        parameters, metrics = strategy.aggregate_fit(number, results, failures)
        if each["expected"] is None:
            assert (parameters, metrics) == (None, {})
            continue
        assert parameters is not None
        for array, expected in zip(
            parameters_to_ndarrays(parameters), each["expected"], strict=True
        ):
            np.testing.assert_allclose(array, expected, rtol=vector["rtol"])


def test_android_averages_raw_float32() -> None:
    [each] = VECTORS["fedavg-android"]["rounds"]
    answers = by_clients(
        fit_res(Parameters([bytes.fromhex(t) for t in r["tensors_hex"]], ""), r["num_examples"])
        for r in each["replies"]
    )
    expected = [bytes.fromhex(tensor) for tensor in each["expected_tensors_hex"]]
    parameters, _ = legacy.FedAvgAndroid().aggregate_fit(1, answers, [])
    assert parameters == Parameters(expected, each["tensor_type"])


@pytest.mark.parametrize(
    "case", VECTORS["xgb-bagging-merge"]["cases"], ids=lambda case: str(case["name"])
)
def test_trees_of_all_rounds_and_classes_are_kept(case: dict[str, Any]) -> None:
    def model(content: Any) -> Parameters:
        return Parameters([] if content is None else [json.dumps(content).encode()], "")

    strategy = legacy.FedXgbBagging()
    answers = by_clients(fit_res(model(content)) for content in case["clients"])
    parameters, _ = round_of(strategy, model(case["global_"]), answers)
    assert parameters is not None
    [text] = parameters.tensors
    assert json.loads(text) == case["expected"]
    assert (parameters.tensor_type, strategy.global_model) == ("", text)


@pytest.mark.parametrize("case", VECTORS["sample-size"]["cases"], ids=str)
def test_sample_sizes(case: dict[str, Any]) -> None:
    fraction, least, expected = case["fraction"], case["minimum"], case["sample"]
    strategy = FedAvg(
        fraction_fit=fraction,
        fraction_evaluate=fraction,
        min_fit_clients=least,
        min_evaluate_clients=least,
    )
    available = case["available"]
    assert strategy.num_fit_clients(available) == (expected, 2)
    assert strategy.num_evaluation_clients(available) == (expected, 2)
    manager = manager_of(available)
    assert len(strategy.configure_fit(1, START, manager)) == expected
    assert len(strategy.configure_evaluate(1, START, manager)) == expected


@pytest.mark.parametrize("server_side", [True, False])
def test_bounds_follow_the_share_of_clipped_updates(server_side: bool) -> None:
    vector = VECTORS["dp-adaptive-norm-update"]
    given = dict(vector["params"])
    given["target_clipped_quantile"] = given.pop("target_quantile")
    cls = (
        legacy.DifferentialPrivacyServerSideAdaptiveClipping
        if server_side
        else legacy.DifferentialPrivacyClientSideAdaptiveClipping
    )
    strategy = cls(FedAvg(), **given)
    for number, each in enumerate(vector["rounds"], start=1):
        answers = by_clients(
            fit_res(r["arrays"], r["num_examples"], norm_bit=int(norm > strategy.clipping_norm))
            for r, norm in zip(each["replies"], each["update_norms"], strict=True)
        )
        round_of(strategy, model_of(*vector["initial"]), answers, number)
        assert strategy.clipping_norm == pytest.approx(
            each["expected_clipping_norm_after"], rel=vector["rtol"]
        )


def test_the_older_bound_follows_the_share_of_updates_within_it() -> None:
    vector = VECTORS["dpfedavg-adaptive-norm-update"]
    [each] = vector["rounds"]
    bits = each["bits"]
    strategy = legacy.DPFedAvgAdaptive(
        FedAvg(), num_sampled_clients=len(bits), noise_multiplier=0, **vector["params"]
    )
    strategy.aggregate_fit(
        1, by_clients(fit_res([[1.0]], dpfedavg_norm_bit=bool(bit)) for bit in bits), []
    )
    assert strategy.clip_norm == pytest.approx(
        each["expected_clipping_norm_after"], rel=vector["rtol"]
    )


@pytest.mark.parametrize("case", VECTORS["dp-adaptive-noise-split"]["cases"], ids=str)
def test_noise_is_split_between_count_and_model(case: dict[str, Any]) -> None:
    z, cohort, given = (
        case["noise_multiplier"],
        case["num_sampled_clients"],
        case["clipped_count_stddev_in"],
    )
    new = legacy.DifferentialPrivacyServerSideAdaptiveClipping(
        FedAvg(), z, cohort, clipped_count_stddev=given
    )
    old = legacy.DPFedAvgAdaptive(FedAvg(), cohort, noise_multiplier=z, clip_count_stddev=given)
    expected = pytest.approx(case["effective_noise_multiplier"], rel=1e-12)
    assert (new.noise_multiplier, old.noise_multiplier) == (expected, expected)
    assert new.clipped_count_stddev == old.clip_count_stddev == case["clipped_count_stddev"]
