"""Sorting networks and sorting: what stands at which place after."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flwr.serverapp.strategy.ordering import LARGEST_NETWORK, network, ordered

COUNTS = [1, 2, 3, 7, 8, 20, LARGEST_NETWORK, LARGEST_NETWORK + 1, 70]


@pytest.mark.parametrize("count", range(1, 13))
def test_a_network_that_sorts_all_zeros_and_ones_sorts_anything(count: int) -> None:
    """Batcher 1968 and Knuth's 0-1 principle."""
    rows = np.array(list(itertools.product([0, 1], repeat=count)), np.uint8).T
    expected = np.sort(rows, axis=0)
    np.testing.assert_array_equal(ordered(rows.copy(), tuple(range(count))), expected)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8])
def test_all_places_of_any_number_of_models(count: int, dtype: type) -> None:
    rows = (np.random.default_rng(count).random((count, 50)) * 200).astype(dtype)
    expected = np.sort(rows, axis=0)
    np.testing.assert_array_equal(ordered(rows, tuple(range(count))), expected)


@given(
    classes=st.lists(st.sampled_from([None, 0, 1]), min_size=1, max_size=LARGEST_NETWORK).map(
        lambda kinds: tuple(sorted(kinds, key=lambda kind: -1 if kind is None else kind))
    ),
    seed=st.integers(0, 1000),
)
def test_places_of_a_class_hold_what_belongs_to_them_in_any_order(
    classes: tuple[int | None, ...], seed: int
) -> None:
    rows = np.random.default_rng(seed).integers(0, 10, (len(classes), 20))
    expected = np.sort(rows, axis=0)
    places = np.array(ordered(rows, classes))
    for kind in {0, 1} & set(classes):
        members = [place for place, of in enumerate(classes) if of == kind]
        np.testing.assert_array_equal(np.sort(places[members], axis=0), expected[members])


def test_only_comparisons_that_matter_are_made() -> None:
    def outcomes(classes: tuple[int | None, ...]) -> int:
        return sum(step.smaller + step.larger for step in network(classes))

    everything = outcomes(tuple(range(20)))
    assert outcomes(tuple(0 if place in (9, 10) else None for place in range(20))) < everything
    assert outcomes(tuple(0 if 4 <= place < 16 else None for place in range(20))) < everything
    assert outcomes((0,) * 20) == outcomes((None,) * 20) == 0
    assert outcomes((0,) + (None,) * 19) == 19  # the smallest of 20


@pytest.mark.parametrize("count", COUNTS)
def test_a_nan_reaches_each_class_and_no_other_column(count: int) -> None:
    for at in range(count):
        rows = np.random.default_rng(at).random((count, 5), np.float32)
        rows[at, 2] = np.nan
        for classes in (tuple(range(count)), (0,) * count, (None,) * (count - 1) + (0,)):
            places = np.array(ordered(rows.copy(), classes))
            for kind in set(classes) - {None}:
                members = [place for place, of in enumerate(classes) if of == kind]
                assert np.isnan(places[members]).any(axis=0).tolist() == [
                    column == 2 for column in range(5)
                ]
