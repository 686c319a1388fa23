"""Every strategy is in the table, and gives the numbers of the papers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import CASES, Case
from fake_grid import replies
from federations import ask

from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict
from flwr.serverapp import strategy as strategies

DATA = Path(__file__).parents[3] / "data" / "strategies.json"
VECTORS: list[dict[str, Any]] = json.loads(DATA.read_text())["vectors"]
NOT_STRATEGIES = {
    "FaultTolerantFedAvg": "the older interface",
    "FedAvgAndroid": "the older interface",
    "DPFedAvgAdaptive": "the older interface",
    "DifferentialPrivacy*AdaptiveClipping": "the bound, not a model",
    "adaptive noise split": "a formula",
    "LocalDpMod": "a mod",
    "sampling": "all strategies",
    "FedProx": "the clients' loss; the server's rule is FedAvg",
    "FedXgbBagging": "models, not numbers: tested beside its strategy",
}
ARGUMENTS = {  # a vector's parameter -> the constructor's
    "num_malicious": "num_malicious_nodes",
    "num_to_keep": "num_nodes_to_select",
}
DERIVED = {"trimmed_each_side", "theta", "beta"}  # of Bulyan, beta is not an argument


def test_every_strategy_is_in_the_table_once() -> None:
    assert sorted(case.name for case in CASES) == sorted(
        set(strategies.__all__) - {"Strategy", "Result"}
    )


def test_every_vector_is_used_or_set_aside_for_a_reason() -> None:
    unused = {vector["rule"] for vector in VECTORS} - {vector["rule"] for vector in USED}
    assert unused == set(NOT_STRATEGIES)


USED = [
    v
    for v in VECTORS
    if v["rule"] in {case.name for case in CASES} and v["rule"] not in NOT_STRATEGIES
]


@pytest.mark.parametrize("vector", USED, ids=lambda vector: str(vector["id"]))
def test_vectors(vector: dict[str, Any]) -> None:
    """The papers' formulas, round by round, upstream's defects apart."""
    [case] = [case for case in CASES if case.name == vector["rule"]]
    dtype = vector.get("dtype", "float64")
    strategy = made(case, vector)
    current = vector["initial"]
    for number, expected_round in enumerate(vector["rounds"], start=1):
        current = expected_round.get("current", current)
        ask(strategy, model(current, dtype), number, len(expected_round["replies"]))
        answers = [answer(given, dtype) for given in expected_round["replies"]]
        arrays, metrics = strategy.aggregate_train(number, replies(*answers))
        if expected_round["expected"] is None:
            assert arrays is None
            continue
        assert arrays is not None
        for array, expected in zip(
            arrays.to_numpy_ndarrays(), expected_round["expected"], strict=True
        ):
            assert array.dtype == np.dtype(dtype)
            np.testing.assert_allclose(array, expected, rtol=vector["rtol"], atol=1e-15)
        if "expected_metrics_message_api" in expected_round:
            assert metrics == pytest.approx(expected_round["expected_metrics_message_api"])
        current = expected_round["expected"]


def made(case: Case, vector: dict[str, Any]) -> strategies.Strategy:
    derived = DERIVED if case.name == "Bulyan" else DERIVED - {"beta"}
    settings = {
        ARGUMENTS.get(name, name): value
        for name, value in vector["params"].items()
        if name not in derived
    }
    if case.wraps:
        return case.cls(strategies.FedAvg(), **settings)  # type: ignore[call-arg]
    return case.cls(**settings)


def model(arrays: list[Any], dtype: str) -> ArrayRecord:
    return ArrayRecord({f"a{i}": Array(np.array(a, dtype)) for i, a in enumerate(arrays)})


def answer(given: dict[str, Any], dtype: str) -> RecordDict:
    metrics = MetricRecord({"num-examples": given["num_examples"], **given["metrics"]})
    return RecordDict({"arrays": model(given["arrays"], dtype), "metrics": metrics})
