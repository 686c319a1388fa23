"""Krum, Bulyan, and the rules as functions."""

import copy
from typing import Any

import numpy as np
import pytest
from legacy_rounds import VECTORS, client, model_of, trained, values_of, warnings_in

from flwr.compat.typing import FitRes
from flwr.server.strategy import Bulyan, Krum
from flwr.server.strategy.aggregate import (
    aggregate,
    aggregate_bulyan,
    aggregate_inplace,
    aggregate_krum,
    aggregate_median,
    aggregate_qffl,
    aggregate_trimmed_avg,
    weighted_loss_avg,
)

CLOSE = (1.0, 1.25, 1.5, 1.0, 1.25, 1.0)  # and then an outlier


def results_of(*values: float, examples: Any = ()) -> list[tuple[list[np.ndarray], int]]:
    counts = examples or [1] * len(values)
    return [([np.array([v, -v])], n) for v, n in zip(values, counts, strict=True)]


def chosen(strategy: Krum, *values: float, examples: Any = ()) -> Any:
    return values_of(
        strategy.aggregate_fit(1, trained(*([[v, -v]] for v in values), examples=examples), [])[0]
    )


# --- the strategies --------------------------------------------------------------------------


def test_krum_takes_one_model_as_it_is_and_the_metrics_of_all() -> None:
    strategy = Krum(num_malicious_clients=1, fit_metrics_aggregation_fn=lambda p: {"n": len(p)})
    parameters, metrics = strategy.aggregate_fit(
        1, trained(*([[v, -v]] for v in (*CLOSE, 100.0))), []
    )
    assert values_of(parameters) == [[1.0, -1.0]]
    assert metrics == {"n": 7}


def test_more_than_there_are_means_all() -> None:
    """Upstream averages the best two of five when it is to keep seven."""
    assert chosen(Krum(num_clients_to_keep=7), 1.0, 2.0, 3.0, 4.0, 5.0) == [[3.0, -3.0]]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_model_that_is_not_finite_is_not_chosen(bad: float) -> None:
    """Upstream's scores are all NaN then, and the first model wins."""
    assert chosen(Krum(), bad, 1.0, 1.25, 2.0) == [[1.25, -1.25]]


def test_several_models_are_weighted_by_examples_and_a_single_one_is_not() -> None:
    assert chosen(Krum(num_clients_to_keep=2), 1.0, 1.5, 9.0, examples=[1, 3, 9]) == [
        [1.375, -1.375]
    ]
    assert chosen(Krum(num_clients_to_keep=1), 1.0, 1.0, 9.0, examples=[0, 0, 9]) == [[1.0, -1.0]]


def test_too_few_results_for_the_guarantee_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    chosen(Krum(num_malicious_clients=2), *CLOSE)
    assert warnings_in(caplog.records)[0] == (
        "Krum gives no guarantee in this round: it needs at least 7 results "
        "(2*num_malicious_clients + 3), but received 6."
    )
    caplog.clear()
    chosen(Krum(num_malicious_clients=2), *CLOSE, 9.0)
    assert warnings_in(caplog.records) == ["No fit_metrics_aggregation_fn provided"]


@pytest.mark.parametrize("name", ["num_malicious_clients", "num_clients_to_keep"])
def test_counts_are_checked(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Krum(**{name: -1})
    with pytest.raises(ValueError, match=name):
        Krum(**{name: 1.5})


@pytest.mark.parametrize("more", [{}, {"to_keep": 0}, {"first_aggregation_rule": aggregate_krum}])
def test_bulyan_runs_with_or_without_the_rules_argument(more: dict[str, Any]) -> None:
    """Upstream raises a TypeError without."""
    vector = VECTORS["bulyan-n7-f1"]
    [each] = vector["rounds"]
    parameters, _ = Bulyan(num_malicious_clients=1, **more).aggregate_fit(
        1, trained(*(reply["arrays"] for reply in each["replies"])), []
    )
    for array, expected in zip(values_of(parameters), each["expected"], strict=True):
        assert array == pytest.approx(expected, rel=vector["rtol"])


def test_bulyan_refuses_other_rules_and_too_few_results() -> None:
    results = trained([[1.0]], [[2.0]], [[3.0]])
    for strategy in (Bulyan(first_aggregation_rule=aggregate_median), Bulyan(to_keep=2)):
        with pytest.raises(ValueError, match="Bulyan selects"):
            strategy.aggregate_fit(1, results, [])
    with pytest.raises(TypeError, match="keep"):
        Bulyan(keep=2).aggregate_fit(1, results, [])
    with pytest.raises(ValueError, match="at least 7 clients"):
        Bulyan(num_malicious_clients=1).aggregate_fit(1, results, [])


# --- the functions ---------------------------------------------------------------------------


def test_the_mean_is_weighted() -> None:
    results = [([np.array([1.0]), np.array([[2]])], 1), ([np.array([4.0]), np.array([[4]])], 2)]
    vector, matrix = aggregate(results)
    assert vector.tolist() == [3.0]
    assert matrix.tolist() == [[pytest.approx(10 / 3)]]  # of integers too, as upstream
    vector += 1  # the caller's own
    assert aggregate([]) == []


def test_means_keep_the_dtype_of_floats() -> None:
    for dtype in ("float16", "float32", "float64"):
        [mean] = aggregate([([np.ones(2, dtype)], 1), ([np.zeros(2, dtype)], 3)])
        assert (mean.dtype.name, mean.tolist()) == (dtype, [0.25, 0.25])
    [scalar] = aggregate([([np.float32(1)], 1), ([np.float32(2)], 1)])
    assert (scalar.shape, scalar.tolist()) == ((), 1.5)


def test_clients_results_are_averaged_as_by_the_strategy() -> None:
    results = [
        (client(n), FitRes(r.status, r.parameters, n, {}))
        for n, (_, r) in enumerate(trained([[1.0], [1]], [[2.0], [4]]), start=1)
    ]
    floats, ints = aggregate_inplace(results)
    assert floats.tolist() == [pytest.approx(5 / 3)]
    assert (ints.dtype, ints.tolist()) == (np.int64, [3])


def test_columnwise_functions() -> None:
    results = results_of(1.0, 2.0, 9.0, 4.0, examples=[9, 1, 1, 0])
    assert aggregate_median(results)[0].tolist() == [3.0, -3.0]
    assert aggregate_trimmed_avg(results, 0.25)[0].tolist() == [3.0, -3.0]
    assert aggregate_trimmed_avg(results, 0.0)[0].tolist() == [4.0, -4.0]
    assert aggregate_median([([np.array([1, 2])], 1), ([np.array([2, 2])], 1)])[0].tolist() == [
        1.5,
        2.0,
    ]
    assert aggregate_median([]) == aggregate_trimmed_avg([], 0.2) == []


@pytest.mark.parametrize("cut", [-0.1, 0.5])
def test_cutting_all_is_refused(cut: float) -> None:
    with pytest.raises(ValueError, match=r"range \[0, 0.5\)"):
        aggregate_trimmed_avg(results_of(1.0), cut)


def test_krum_as_a_function() -> None:
    results = results_of(*CLOSE, 100.0, examples=range(1, 8))
    assert aggregate_krum(results, 1, 0) is results[0][0]
    [mean] = aggregate_krum(results, 1, 3)
    assert mean.tolist() == [1.0, -1.0]
    with pytest.raises(ValueError, match="there are none"):
        aggregate_krum([], 0, 0)


def test_bulyan_as_a_function_leaves_its_argument() -> None:
    """Upstream empties it."""
    vector = VECTORS["bulyan-n7-f1"]
    [each] = vector["rounds"]
    results = [([np.array(a) for a in r["arrays"]], r["num_examples"]) for r in each["replies"]]
    before = copy.copy(results)
    for more in ({}, {"to_keep": 0}):
        made = aggregate_bulyan(results, 1, aggregate_krum, **more)
        for array, expected in zip(made, each["expected"], strict=True):
            np.testing.assert_allclose(array, expected, rtol=vector["rtol"])
    assert results == before
    with pytest.raises(ValueError, match="aggregate_median"):
        aggregate_bulyan(results, 1, aggregate_median)


def test_the_step_of_q_fedavg() -> None:
    deltas = [[np.ones(2)], [np.ones(2) * 2]]
    [step] = aggregate_qffl([np.ones(2)], deltas, [1.0, 2.0])
    assert step.tolist() == [0.0, 0.0]


def test_losses_are_weighted() -> None:
    assert weighted_loss_avg([(1, 1.0), (3, 5.0)]) == 4.0


def test_without_examples_there_is_no_mean() -> None:
    for call in (
        lambda: aggregate(results_of(1.0, examples=[0])),
        lambda: aggregate_inplace(trained([[1.0]], examples=[0])),
        lambda: weighted_loss_avg([(0, 1.0)]),
    ):
        with pytest.raises(ZeroDivisionError):
            call()


def test_models_of_other_shapes_are_refused() -> None:
    """Upstream broadcasts."""
    results = [([np.ones(3)], 1), ([np.ones(1)], 1)]
    for call in (aggregate, aggregate_median, lambda r: aggregate_krum(r, 0, 0)):
        with pytest.raises(ValueError, match=r"Array 0 of model 1 has shape \(1,\)"):
            call(results)


def test_what_is_given_stays_as_it_is() -> None:
    results = results_of(3.0, 1.0, 2.0)
    for call in (aggregate, aggregate_median, lambda r: aggregate_krum(r, 0, 2)):
        call(results)
    assert [model[0].tolist() for model, _ in results] == [[3.0, -3.0], [1.0, -1.0], [2.0, -2.0]]
    assert model_of(results[0][0][0]) == model_of([3.0, -3.0])
