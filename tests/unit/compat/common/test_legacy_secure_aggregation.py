"""`flwr.common.secure_aggregation`: the simple maths works, the rest says that it comes later."""

import importlib

import numpy as np
import pytest

from flwr.common.secure_aggregation.ndarrays_arithmetic import (
    factor_combine,
    factor_extract,
    get_parameters_shape,
    get_zero_parameters,
    parameters_addition,
    parameters_divide,
    parameters_mod,
    parameters_multiply,
    parameters_subtraction,
)
from flwr.common.secure_aggregation.quantization import dequantize, quantize
from flwr.common.secure_aggregation.secaggplus_constants import Key, Stage

PACKAGE = "flwr.common.secure_aggregation"
LATER = {
    "secaggplus_utils": [
        "pseudo_rand_gen",
        "share_keys_plaintext_concat",
        "share_keys_plaintext_separate",
    ],
    "crypto.shamir": ["combine_shares", "create_shares"],
    "crypto.symmetric_encryption": [
        "bytes_to_private_key",
        "bytes_to_public_key",
        "compute_hmac",
        "decrypt",
        "encrypt",
        "generate_key_pairs",
        "generate_shared_key",
        "private_key_to_bytes",
        "public_key_to_bytes",
        "sign_message",
        "verify_hmac",
        "verify_signature",
    ],
}


def test_values_are_cut_and_scaled() -> None:
    values = [0.5, -8.0, 8.0, 0.0, 9.0, -100.0]
    quantized = quantize([np.array(values)], 8.0, 4194304)
    assert quantized[0].tolist() == [2228224, 0, 4194304, 2097152, 4194304, 0]
    assert quantized[0].dtype == np.int32
    back = dequantize(quantized, 8.0, 4194304)
    assert back[0].tolist() == [0.5, -8.0, 8.0, 0.0, 8.0, -8.0]


def test_rounding_is_at_random_and_keeps_the_mean() -> None:
    np.random.seed(3)
    quantized = quantize([np.full(50_000, 0.3)], 1.0, 10)[0]
    assert set(quantized.tolist()) == {6, 7}
    assert quantized.mean() == pytest.approx(6.5, abs=0.02)


def test_a_seed_gives_the_numbers_of_upstream() -> None:
    values = np.linspace(-4, 4, 9).reshape(3, 3)
    np.random.seed(3)
    first, second = quantize([values, values[0]], 3.0, 1000)
    assert first.tolist() == [[0, 0, 166], [333, 500, 667], [833, 1000, 1000]]
    assert second.tolist() == [0, 0, 167]


def test_shapes_are_kept_and_large_ranges_have_room() -> None:
    scalar, empty, large = quantize([np.array(1.0), np.empty((0, 2)), np.ones(1)], 1.0, 2**40)
    assert (scalar.shape, empty.shape) == ((), (0, 2))
    assert large.tolist() == [2**40]
    assert [array.dtype for array in dequantize([scalar, empty], 1.0, 2**40)] == [np.float64] * 2


def test_what_is_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="Array 1"):
        quantize([np.ones(1), np.array([np.nan])], 1.0, 10)


def test_lists_of_arrays_are_calculated_with() -> None:
    a, b = [np.array([5, 7]), np.array([[1]])], [np.array([1, 2]), np.array([[3]])]
    with_factor = factor_combine(9, a)
    assert with_factor[0].tolist() == [9]
    factor, rest = factor_extract(with_factor)
    assert factor == 9
    assert all(x is y for x, y in zip(rest, a, strict=True))
    assert get_parameters_shape(a) == [(2,), (1, 1)]
    assert get_zero_parameters([(2,), ()])[0].dtype == np.int64
    results = {
        parameters_addition: (a, b, [[6, 9], [[4]]]),
        parameters_subtraction: (a, b, [[4, 5], [[-2]]]),
        parameters_mod: (a, 4, [[1, 3], [[1]]]),
        parameters_multiply: (a, 2, [[10, 14], [[2]]]),
        parameters_divide: (a, 2, [[2.5, 3.5], [[0.5]]]),
    }
    for function, (first, second, expected) in results.items():
        assert [array.tolist() for array in function(first, second)] == expected
    assert parameters_mod([np.array([-5])], 4)[0].tolist() == [3]


@pytest.mark.parametrize("other", [[], [np.zeros(3)], [np.zeros(1)]])
def test_lists_that_do_not_match_are_refused(other: list[np.ndarray]) -> None:
    with pytest.raises(ValueError, match="shape|zip"):
        parameters_addition([np.zeros(2)], other)


def test_the_names_in_messages_are_there() -> None:
    assert Stage.all() == ("setup", "share_keys", "collect_masked_vectors", "unmask")
    assert (Key.STAGE, Key.SHARE_LIST) == ("stage", "shares")
    for names in (Stage, Key):
        with pytest.raises(TypeError, match="cannot be instantiated"):
            names()


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in LATER.items() for name in names]
)
def test_cryptography_says_that_it_comes_later(module: str, name: str) -> None:
    function = getattr(importlib.import_module(f"{PACKAGE}.{module}"), name)
    with pytest.raises(NotImplementedError, match=f"{name}: .*comes with a later version"):
        function(b"key", b"text")
