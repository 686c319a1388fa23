"""Median, trimmed mean and the mean around the median, coordinate by coordinate."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from fake_grid import arrays_of, content, replies
from hypothesis import given
from hypothesis import strategies as st

from flwr.app import Array, ArrayRecord, MetricRecord
from flwr.serverapp.exception import AggregationError
from flwr.serverapp.strategy import FedMedian, FedTrimmedAvg, columns
from flwr.serverapp.strategy.columns import Columns
from flwr.serverapp.strategy.columnwise import (
    Columnwise,
    Rule,
    mean_around_median,
    median,
    reduce_columns,
    trimmed_mean,
)
from flwr.serverapp.strategy.replies import ReplyReader

COUNTS = [1, 2, 3, 4, 7, 8, 20, 31, 32, 33, 40, 75]
RULES: dict[str, Rule] = {
    "median": median,
    "trimmed mean": partial(trimmed_mean, beta=0.2),
    "untrimmed mean": partial(trimmed_mean, beta=0.0),
    "around the median": partial(mean_around_median, leave_out=2),
}


def reduced(rule: Rule, *models: object, dtype: object = np.float32) -> np.ndarray:
    """One coordinate or more of each model, reduced."""
    given = [[np.atleast_1d(np.asarray(model)).astype(np.dtype(dtype))] for model in models]
    walked = Columns.of(given)
    buffer, _ = reduce_columns(walked, rule)
    [array] = walked.layout.views(buffer)
    assert array.dtype == np.dtype(dtype)
    return array


def aggregated(strategy: Any, *records: ArrayRecord) -> list[np.ndarray]:
    arrays, _ = strategy.aggregate_train(1, replies(*map(content, records)))
    assert arrays is not None
    return list(arrays.to_numpy_ndarrays())


def closest_to_median(values: np.ndarray, keep: int) -> np.ndarray:
    """Bulyan's second step as the paper writes it; of equally close values the smaller ones."""
    means = []
    for column in values.T:
        middle = np.median(column)
        means.append(np.mean(sorted(sorted(column), key=lambda v: abs(v - middle))[:keep]))
    return np.array(means)


# --- the numbers -----------------------------------------------------------------------------


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble, ">f4"])
def test_median(count: int, dtype: str) -> None:
    """Yin et al. 2018, Definition 1; of an even number, the mean of the middle two."""
    values = np.random.default_rng(count).standard_normal((count, 300)).astype(dtype)
    native = values.astype(values.dtype.newbyteorder("="))
    np.testing.assert_array_equal(reduced(median, *values, dtype=dtype), np.median(native, axis=0))


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("beta", [0.0, 0.1, 0.2, 0.3, 0.49])
def test_trimmed_mean(count: int, beta: float) -> None:
    """Yin et al. 2018, Definition 2."""
    values = np.random.default_rng(count).standard_normal((count, 300))
    cut = int(beta * count)
    expected = np.sort(values, axis=0)[cut : count - cut].mean(axis=0)
    actual = reduced(partial(trimmed_mean, beta=beta), *values, dtype=np.float64)
    np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.99])
def test_mean_around_the_median(count: int, share: float) -> None:
    """El Mhamdi et al. 2018, section 4; also where few are kept of many."""
    leave_out = int(share * count)
    values = np.random.default_rng(count).standard_normal((count, 100))
    actual = reduced(partial(mean_around_median, leave_out=leave_out), *values, dtype=np.float64)
    np.testing.assert_allclose(
        actual, closest_to_median(values, count - leave_out), rtol=1e-12, atol=1e-14
    )


@given(
    st.lists(st.integers(-5, 5), min_size=1, max_size=40).flatmap(
        lambda values: st.tuples(st.just(values), st.integers(0, len(values) - 1))
    )
)
def test_of_equally_close_values_the_smaller_ones_are_kept(case: tuple[list[int], int]) -> None:
    values, leave_out = case
    [actual] = reduced(partial(mean_around_median, leave_out=leave_out), *values, dtype=np.float64)
    [expected] = closest_to_median(np.array(values, np.float64)[:, np.newaxis],
                                   len(values) - leave_out)  # fmt: skip
    assert actual == pytest.approx(expected, abs=1e-12)


def test_an_outlier_that_is_trimmed_leaves_no_trace() -> None:
    values = [1.0, 1.25, 1.5, 1e30, -1e30]
    assert reduced(partial(trimmed_mean, beta=0.2), *values).tolist() == [1.25]
    assert reduced(partial(mean_around_median, leave_out=2), *values).tolist() == [1.25]


def test_a_mean_of_many_float32_values_is_accurate() -> None:
    values = np.full(1000, 0.1, np.float32)
    [actual] = reduced(partial(trimmed_mean, beta=0.0), *values)
    np.testing.assert_allclose(actual, np.float32(0.1), rtol=5e-7)


# --- kinds of values -------------------------------------------------------------------------


def test_whole_numbers_are_rounded_half_to_even_and_exact_where_none_is_averaged() -> None:
    assert reduced(median, 1, 2, dtype=np.int32).tolist() == [2]
    assert reduced(median, 2, 3, dtype=np.uint8).tolist() == [2]
    assert reduced(median, 250, 255, dtype=np.uint8).tolist() == [252]
    assert reduced(median, -3, 2**62 + 1, 2**62 + 3, dtype=np.int64).tolist() == [2**62 + 1]
    assert reduced(partial(trimmed_mean, beta=0.0), 1, 1, 3, dtype=">i2").tolist() == [2]
    around = partial(mean_around_median, leave_out=2)
    assert reduced(around, 0, 9, 10, 11, 255, dtype=np.uint8).tolist() == [10]


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_whole_numbers_that_no_float_holds_are_reduced_as_small_ones(
    rule: Rule, dtype: object
) -> None:
    for count in (1, 3, 4, 8, 40):
        if rule is RULES["around the median"] and count < 3:
            continue
        small = np.random.default_rng(count).integers(0, 60, (count, 50))
        expected = reduced(rule, *small, dtype=dtype) + np.asarray(2**62, dtype)
        large = [model.astype(dtype) + np.asarray(2**62, dtype) for model in small]
        np.testing.assert_array_equal(reduced(rule, *large, dtype=dtype), expected)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_bools_go_by_majority_and_a_tie_is_true(rule: Rule) -> None:
    for count in (5, 6, 35, 36):
        for true in range(count + 1):
            [actual] = reduced(rule, *[index < true for index in range(count)], dtype=bool)
            if rule is RULES["around the median"] and abs(2 * true - count) <= 2:
                continue  # the closest to the median need not be of the majority
            assert actual == (2 * true >= count)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("count", [4, 9, 40])
def test_16_bit_floats_are_reduced_in_float32(rule: Rule, dtype: object, count: int) -> None:
    values = np.random.default_rng(1).standard_normal((count, 50)).astype(np.dtype(dtype))
    expected = reduced(rule, *values.astype(np.float32)).astype(np.dtype(dtype))
    np.testing.assert_array_equal(reduced(rule, *values, dtype=dtype), expected)


@pytest.mark.parametrize("strategy", [FedMedian(), FedTrimmedAvg(beta=0.4)])
def test_complex_numbers_have_no_order(strategy: FedMedian) -> None:
    models = [ArrayRecord({"w": Array(np.ones(1)), "z": Array(np.array([1j * k]))}) for k in (1, 2)]
    with pytest.raises(AggregationError, match="'z' has dtype complex128: .* no order"):
        aggregated(strategy, *models)


def test_gaps_between_values_of_different_dtypes_are_zero() -> None:
    walked = Columns.of([[np.ones(1, np.uint8), np.ones(1, np.float64)]] * 3)
    buffer, _ = reduce_columns(walked, median)
    assert buffer[1:8].tolist() == [0] * 7


@pytest.mark.parametrize("name", RULES)
def test_the_bits_do_not_depend_on_the_blocks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(3)
    values = generator.standard_normal((9, 5000)).astype(np.float32)
    values[4, generator.random(5000) < 0.01] = np.nan
    whole = reduced(RULES[name], *values)
    for width in (2, 34, 1024):
        monkeypatch.setattr(columns, "_LEAST_WIDTH", width)
        monkeypatch.setattr(columns, "_MOST_WIDTH", width)
        assert reduced(RULES[name], *values).tobytes() == whole.tobytes()


# --- what is not finite ----------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 5, 6, 7, 40])
def test_nan_is_the_median_only_where_it_reaches_the_middle_and_then_names_the_nodes(
    count: int, caplog: pytest.LogCaptureFixture
) -> None:
    enough = count - count // 2  # half of them or more
    models = [{"a": np.ones(3), "b": np.full(4, float(k))} for k in range(count)]
    for node in range(enough):
        models[node]["b"][1] = np.nan
    for node in range(enough - 1):
        models[node]["a"][0] = models[node]["b"][2] = np.nan
    records = [ArrayRecord({n: Array(a) for n, a in model.items()}) for model in models]
    a, b = aggregated(FedMedian(), *records)
    assert a.tolist() == [1.0] * 3
    assert np.isnan(b).tolist() == [False, True, False, False]
    assert b[0] == (count - 1) / 2
    left = range(enough - 1, count)
    assert b[2] == np.sort([*left, *[np.inf] * (enough - 1)])[[(count - 1) // 2, count // 2]].mean()
    [warning] = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    nodes = ", ".join(f"array 'b' of node {node + 1}" for node in range(enough))
    assert warning == f"aggregate_train: the aggregated arrays are not finite, because of {nodes}"


@pytest.mark.parametrize(("count", "beta"), [(5, 0.2), (10, 0.3), (40, 0.1)])
def test_nan_counts_as_largest_in_a_trimmed_mean(
    count: int, beta: float, caplog: pytest.LogCaptureFixture
) -> None:
    cut = int(beta * count)
    values = np.random.default_rng(7).standard_normal((count, 6))
    for spoilt in range(cut + 1):
        values[spoilt, 1] = values[spoilt, 4] = np.nan
        as_largest = np.sort(np.where(np.isnan(values), np.inf, values), axis=0)
        expected = as_largest[cut : count - cut].mean(axis=0)
        models = [ArrayRecord([row]) for row in values]
        caplog.clear()
        [actual] = aggregated(FedTrimmedAvg(beta=beta), *models)
        if spoilt < cut:
            np.testing.assert_allclose(actual, expected, rtol=1e-12)
            assert not caplog.records or "not finite" not in caplog.text
        else:
            assert np.isnan(actual).tolist() == [False, True, False, False, True, False]
            assert "array '0' of node 1, array '0' of node 2" in caplog.text


def test_infinite_values_are_ordered_like_any() -> None:
    values = [-np.inf, 1.0, 2.0, np.inf, np.inf]
    assert reduced(median, *values).tolist() == [2.0]
    assert reduced(partial(trimmed_mean, beta=0.4), *values).tolist() == [2.0]
    assert reduced(partial(mean_around_median, leave_out=3), *values).tolist() == [1.5]


# --- the classes -----------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", [FedMedian(), FedTrimmedAvg(beta=0.4)])
def test_models_count_the_same_and_metrics_by_weight(strategy: FedMedian) -> None:
    answers = [
        content(arrays_of([value], 7), weight, loss=value)
        for value, weight in ((1.0, 1), (2.0, 0), (9.0, 3))
    ]
    arrays, metrics = strategy.aggregate_train(1, replies(*answers))
    assert arrays is not None
    assert arrays.to_numpy_ndarrays()[0].tolist() == [2.0]
    assert metrics == MetricRecord({"loss": 7.0})


def test_beta_is_checked_at_construction() -> None:
    for beta in (-0.1, 0.5, 0.6, float("nan")):
        with pytest.raises(ValueError, match=r"`beta` must be in the range \[0, 0.5\)"):
            FedTrimmedAvg(beta=beta)
    assert FedTrimmedAvg().beta == 0.2
    assert FedTrimmedAvg(1.0, 1.0, 2, 2, 2, "n", "a", "c", None, None, 0.3).beta == 0.3


def test_a_beta_that_leaves_nothing_is_an_error() -> None:
    strategy = FedTrimmedAvg()
    strategy.beta = 0.5
    with pytest.raises(AggregationError, match="leaves out 2 of 4 values at each end"):
        aggregated(strategy, *[arrays_of([1.0])] * 4)


def test_summary_of_the_trimmed_mean(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    FedTrimmedAvg(beta=0.25).summary()
    assert [r.getMessage() for r in caplog.records][:3] == [
        "\t├──> FedTrimmedAvg settings:",
        "\t│\t└── beta: 0.25",
        "\t├──> Sampling:",
    ]


def test_reducers_merge_in_order_and_start_again() -> None:
    reader = ReplyReader("test", "num-examples", with_arrays=True)
    answers = [content(arrays_of([value])) for value in (1.0, 5.0, 7.0)]
    updates = list(reader.read(replies(*answers)))
    make: Callable[[], Columnwise] = partial(Columnwise, "test", median)
    first, second = make(), make()
    assert first.finish() is None
    first.add(updates[0])
    for update in updates[1:]:
        second.add(update)
    first.merge(second)
    merged = first.finish()
    assert merged is not None
    assert merged.to_numpy_ndarrays()[0].tolist() == [5.0]
    assert first.finish() is second.finish() is None
