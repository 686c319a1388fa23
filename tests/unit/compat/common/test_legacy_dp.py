"""`flwr.common.differential_privacy` and `.dp`: clipping and noise on lists of arrays."""

import math

import numpy as np
import pytest

from flwr.common import dp, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.common.differential_privacy import (
    adaptive_clip_inputs_inplace,
    add_gaussian_noise_inplace,
    add_gaussian_noise_to_params,
    add_localdp_gaussian_noise_to_params,
    clip_inputs_inplace,
    compute_adaptive_clip_model_update,
    compute_adaptive_noise_params,
    compute_clip_model_update,
    compute_stdv,
    get_norm,
)

MANY = 20_000


def test_the_norm_is_over_all_arrays_together() -> None:
    assert get_norm([np.array([3.0, 4.0]), np.array([[12.0]])]) == 13.0
    assert get_norm([]) == 0.0
    assert get_norm([np.full(100_000, 1e-3, np.float16)]) == pytest.approx(0.3163, rel=1e-3)


@pytest.mark.parametrize(("bound", "expected", "longer"), [(1.0, 0.2, True), (10.0, 1.0, False)])
def test_an_update_is_scaled_in_place(bound: float, expected: float, longer: bool) -> None:
    arrays = [np.array([3.0, 4.0], np.float32), np.array(0.0)]
    kept = list(arrays)
    assert adaptive_clip_inputs_inplace(arrays, bound) is longer
    assert all(array is was for array, was in zip(arrays, kept, strict=True))
    np.testing.assert_allclose(arrays[0], [3 * expected, 4 * expected], rtol=1e-6)
    again = [np.array([3.0, 4.0], np.float32)]
    assert clip_inputs_inplace(again, bound) is None
    np.testing.assert_array_equal(again[0], arrays[0])


def test_a_zero_update_stays_and_one_that_is_not_finite_counts_as_none() -> None:
    zero = [np.zeros(3)]
    assert not adaptive_clip_inputs_inplace(zero, 1.0)
    broken = [np.array([1.0, np.nan]), np.array([np.inf])]
    assert adaptive_clip_inputs_inplace(broken, 1.0)
    assert [array.tolist() for array in (*zero, *broken)] == [[0, 0, 0], [0, 0], [0]]


def test_scalars_are_clipped_too_and_integers_stay() -> None:
    arrays = [np.float64(6.0), np.array(8.0), np.array([1000])]
    assert adaptive_clip_inputs_inplace(arrays, 1.0)
    assert [float(array) for array in arrays[:2]] == pytest.approx([0.6, 0.8])
    assert arrays[2].tolist() == [1000]


def test_a_model_is_brought_back_to_within_the_bound() -> None:
    old = [np.ones(2), np.array([5]), np.ones((2, 2), order="F")]
    new = [np.array([4.0, 5.0]), np.array([6]), np.ones((2, 2), order="F")]
    kept = list(new)
    assert compute_adaptive_clip_model_update(new, old, 1.0)
    assert all(array is was for array, was in zip(new, kept, strict=True))
    np.testing.assert_allclose(new[0], [1.6, 1.8])
    np.testing.assert_array_equal(new[1], [5])
    assert not compute_adaptive_clip_model_update(new, old, 1.1)
    assert compute_clip_model_update(new, old, 0.5) is None
    assert get_norm([new[0] - old[0]]) == pytest.approx(0.5)


def test_arrays_in_any_memory_order_are_clipped() -> None:
    old = [np.zeros((3, 2), order="F")]
    new = [np.arange(6.0).reshape(2, 3).T]
    expected = new[0] / get_norm(new)
    assert compute_adaptive_clip_model_update(new, old, 1.0)
    np.testing.assert_allclose(new[0], expected)


def test_models_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        compute_clip_model_update([np.ones(1)], [], 1.0)


def test_noise_has_the_standard_deviation_and_is_never_the_same() -> None:
    arrays = [np.zeros(MANY, np.float32), np.zeros(3, np.int64)]
    add_gaussian_noise_inplace(arrays, 0.5)
    assert arrays[0].dtype == np.float32
    assert arrays[0].std() == pytest.approx(0.5, rel=0.05)
    assert not arrays[1].any()
    np.random.seed(0)
    first = [np.zeros(3)]
    add_gaussian_noise_inplace(first, 1.0)
    np.random.seed(0)
    second = [np.zeros(3)]
    add_gaussian_noise_inplace(second, 1.0)
    assert not np.array_equal(first[0], second[0])


def test_parameters_get_central_or_local_noise() -> None:
    given = ndarrays_to_parameters([np.zeros(MANY)])
    central = parameters_to_ndarrays(add_gaussian_noise_to_params(given, 2.0, 3.0, 4))[0]
    assert central.std() == pytest.approx(compute_stdv(2.0, 3.0, 4), rel=0.05)
    local = parameters_to_ndarrays(add_localdp_gaussian_noise_to_params(given, 2.0, 0.5, 1e-5))[0]
    expected = 2.0 * math.sqrt(2 * math.log(1.25e5)) / 0.5
    assert local.std() == pytest.approx(expected, rel=0.05)
    assert not parameters_to_ndarrays(given)[0].any()


def test_adaptive_noise_is_split_as_the_paper_says() -> None:
    assert compute_stdv(1.0, 2.0, 4) == 0.5
    assert compute_adaptive_noise_params(1.0, 20, None) == pytest.approx((1.0, 1.1547005383792515))
    assert compute_adaptive_noise_params(0.0, 20, None) == (0.0, 0.0)
    with pytest.raises(ValueError, match="twice"):
        compute_adaptive_noise_params(3.0, 20, 1.0)


def test_the_old_functions_return_copies_and_are_deprecated(
    caplog: pytest.LogCaptureFixture,
) -> None:
    update = [np.array([3.0, 4.0], np.float32)]
    clipped, longer = dp.clip_by_l2(update, 1.0)
    assert longer
    np.testing.assert_allclose(clipped[0], [0.6, 0.8], rtol=1e-6)
    noised = dp.add_gaussian_noise(update, 0.1)
    assert noised[0].dtype == np.float32
    assert update[0].tolist() == [3.0, 4.0]
    assert [text.startswith("DEPRECATED FEATURE: ") for text in caplog.messages] == [True, True]
