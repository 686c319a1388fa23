"""Distances between models, accurate where others lose their digits, and whom Krum trusts."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flwr.serverapp.strategy import columns
from flwr.serverapp.strategy.columns import Columns
from flwr.serverapp.strategy.distances import (
    krum_order,
    krum_scores,
    repeated_krum,
    squared_distances,
)

DATA = Path(__file__).parents[3] / "data" / "strategies.json"
VECTORS: dict[str, Any] = {v["id"]: v for v in json.loads(DATA.read_text())["vectors"]}


def distances_of(*models: object) -> np.ndarray:
    return squared_distances(Columns.of([[np.asarray(model)] for model in models]))


def exact(values: np.ndarray) -> np.ndarray:
    """By differences, in the widest float there is."""
    wide = values.astype(np.longdouble)
    return np.array([[np.square(a - b).sum() for b in wide] for a in wide], np.float64)


def models_of(vector: str) -> list[list[np.ndarray]]:
    [each] = VECTORS[vector]["rounds"]
    return [[np.array(array) for array in reply["arrays"]] for reply in each["replies"]]


@pytest.mark.parametrize("count", [1, 2, 9, 40])
def test_distances_are_those_of_all_arrays_together(count: int) -> None:
    generator = np.random.default_rng(count)
    models = [
        [generator.standard_normal((30, 70)).astype(np.float32), generator.standard_normal(5000)]
        for _ in range(count)
    ]
    flat = np.array([np.concatenate([array.ravel() for array in model]) for model in models])
    distances = squared_distances(Columns.of(models))
    np.testing.assert_allclose(distances, exact(flat), rtol=1e-12)
    np.testing.assert_array_equal(distances, distances.T)


@pytest.mark.parametrize(
    "outlier", [None, 0, 3], ids=["no outlier", "an outlier first", "an outlier in the middle"]
)
def test_close_models_far_from_zero_keep_their_distances(outlier: int | None) -> None:
    """`|x|^2 + |y|^2 - 2xy` in float32 gives -6 to 8 here, where 0.5 to 4.1 is true."""
    generator = np.random.default_rng(0)
    spread = 1e-3 * (1 + np.arange(5))[:, np.newaxis]
    values = (10 + spread * generator.standard_normal((5, 100_000))).astype(np.float32)
    if outlier is not None:
        values[outlier] = 1e12
    distances = distances_of(*values)
    np.testing.assert_allclose(distances, exact(values), rtol=1e-9)
    others = [model for model in range(5) if model != outlier]
    assert krum_order(distances, 1)[0] == others[0]


def test_one_model_far_from_a_crowd_of_close_ones_and_a_second_crowd() -> None:
    generator = np.random.default_rng(1)
    centres = np.array([0, 0, 0, 1e6, 1e6, 1e6, 1e9])[:, np.newaxis]
    values = centres + 1e-3 * generator.standard_normal((7, 20_000))
    np.testing.assert_allclose(distances_of(*values), exact(values), rtol=1e-9)


@given(
    st.lists(
        st.lists(st.floats(-1e6, 1e6, width=32), min_size=3, max_size=3), min_size=1, max_size=9
    )
)
def test_any_models(models: list[list[float]]) -> None:
    values = np.array(models)
    np.testing.assert_allclose(distances_of(*values), exact(values), rtol=1e-9, atol=1e-80)


def test_equal_models_are_equally_far_from_all_others() -> None:
    generator = np.random.default_rng(2)
    values = generator.standard_normal((8, 10_000)).astype(np.float32)
    values[5] = values[7] = values[1]
    distances = distances_of(*values)
    assert distances[1, 5] == distances[5, 7] == distances[7, 1] == 0
    for other in (0, 2, 3, 4, 6):
        assert distances[1, other] == distances[5, other] == distances[7, other]
    assert krum_order(distances, 3)[:3] == [1, 5, 7]


def test_distances_do_not_lose_digits_between_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(4).standard_normal((6, 4000))
    whole = distances_of(*values)
    for width in (2, 50):
        monkeypatch.setattr(columns, "_LEAST_WIDTH", width)
        monkeypatch.setattr(columns, "_MOST_WIDTH", width)
        np.testing.assert_allclose(distances_of(*values), whole, rtol=1e-12)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float16, np.complex64, ">f4"])
def test_all_kinds_of_numbers_have_distances(dtype: Any) -> None:
    values = np.random.default_rng(5).integers(0, 2, (4, 100)).astype(dtype)
    if values.dtype.kind == "c":
        values *= 1 - 2j
    plain = values.astype(np.complex128)
    expected = [[np.square(np.abs(a - b)).sum() for b in plain] for a in plain]
    np.testing.assert_allclose(distances_of(*values), expected)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, 3, 5])
def test_a_model_that_is_not_finite_is_infinitely_far(bad: float, at: int) -> None:
    values = np.random.default_rng(6).standard_normal((6, 40_000))
    values[at, 39_000] = bad
    finite = [model for model in range(6) if model != at]
    distances = distances_of(*values)
    assert np.isinf(distances[at]).all()
    assert np.isinf(distances[:, at]).all()
    np.testing.assert_allclose(distances[np.ix_(finite, finite)], exact(values[finite]), rtol=1e-12)


def test_models_that_are_not_finite_come_last_even_if_all_scores_are_infinite() -> None:
    """With all scores alike, the first model would win: the one with NaN in it."""
    distances = distances_of([np.nan, 0.0], [np.inf, 0.0], [1.0, 2.0], [1.0, 2.5], [1.0, 9.0])
    assert np.isinf(krum_scores(distances, 0)).all()
    assert krum_order(distances, 0) == [2, 3, 4, 0, 1]
    assert repeated_krum(distances, 0, 4) == [2, 3, 4, 0]
    assert krum_order(distances_of([np.nan], [np.inf]), 0) == [0, 1]


# --- Krum: Blanchard et al. 2017, section 4 --------------------------------------------------


@pytest.mark.parametrize("vector", ["krum-n7-f1", "multikrum-n7-f1-m3"])
def test_scores_of_the_vectors(vector: str) -> None:
    [each] = VECTORS[vector]["rounds"]
    distances = squared_distances(Columns.of(models_of(vector)))
    scores = krum_scores(distances, VECTORS[vector]["params"]["num_malicious"])
    np.testing.assert_allclose(scores, each["scores"], rtol=VECTORS[vector]["rtol"])
    order = krum_order(distances, 1)
    assert order[: len(each.get("selected", []))] == each.get("selected", [])


@pytest.mark.parametrize("vector", ["bulyan-n7-f1", "bulyan-n8-f1"])
def test_repeated_selection_of_the_vectors(vector: str) -> None:
    """El Mhamdi et al. 2018, section 4: Krum on the shrinking set, not the best of one pass."""
    params, [each] = VECTORS[vector]["params"], VECTORS[vector]["rounds"]
    distances = squared_distances(Columns.of(models_of(vector)))
    malicious, theta = params["num_malicious"], params["theta"]
    assert repeated_krum(distances, malicious, theta) == each["selected_iterative"]
    assert krum_order(distances, malicious)[:theta] == each["selected_top_theta"]


def test_a_score_is_of_at_least_one_other_model_and_never_of_itself() -> None:
    distances = distances_of([0.0], [1.0], [3.0])
    for malicious in (0, 1, 5):
        assert krum_scores(distances, malicious).tolist() == [1.0, 1.0, 4.0]
    assert krum_scores(distances_of([0.0], [2.0]), 0).tolist() == [4.0, 4.0]
    assert krum_scores(distances_of([0.0]), 0).tolist() == [0.0]


def test_of_equal_scores_the_first_is_best() -> None:
    assert krum_order(distances_of([3.0], [1.0], [1.0], [3.0]), 1) == [0, 1, 2, 3]
    assert krum_order(distances_of(*[[2.0]] * 5), 0) == [0, 1, 2, 3, 4]


def test_repeated_krum_takes_all_there_are_if_more_are_asked_for() -> None:
    assert sorted(repeated_krum(distances_of([0.0], [1.0], [5.0]), 0, 9)) == [0, 1, 2]
