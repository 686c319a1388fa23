"""Clipping of updates: one L2 norm over everything, in float64, whatever the dtype."""

import math

import ml_dtypes
import numpy as np
import pytest

from flwr.privacy.clipping import (
    BLOCK,
    apply_change,
    blocks,
    clipping_scale,
    is_floating,
    same_kind,
    scaled_change,
    update_norm,
)


def test_the_norm_is_over_all_arrays_together() -> None:
    old = [np.array([1.0, 1.0]), np.array(0.0)]
    new = [np.array([4.0, 5.0]), np.array(12.0)]
    assert update_norm(zip(new, old, strict=True)) == 13.0


def test_a_0d_array_counts() -> None:
    assert update_norm([(np.float32(6.0) * np.ones(()), np.zeros((), np.float32))]) == 6.0


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, 3 * BLOCK + 7])
def test_blocks_change_nothing(size: int) -> None:
    generator = np.random.default_rng(0)
    new, old = generator.normal(size=(2, size))
    assert update_norm([(new, old)]) == pytest.approx(float(np.linalg.norm(new - old)), rel=1e-13)


def test_arrays_in_different_memory_order_are_paired_by_index() -> None:
    new = np.arange(6.0).reshape(2, 3)
    assert update_norm([(np.asfortranarray(new), new)]) == 0.0


@pytest.mark.parametrize(
    "dtype", ["float16", "float32", ">f4", "float64", "complex64", "bfloat16", "float8_e4m3fn"]
)
def test_every_floating_dtype_is_read_in_float64(dtype: str) -> None:
    kind = np.dtype(getattr(ml_dtypes, dtype, dtype))
    assert is_floating(kind)
    new, old = np.full(100_000, 2, kind), np.full(100_000, 1.5, kind)
    assert update_norm([(new, old)]) == pytest.approx(0.5 * math.sqrt(100_000))
    target = np.empty_like(new)
    for target_block, new_block, old_block in blocks(target, new, old):
        apply_change(target_block, old_block, scaled_change(new_block, old_block, 0.5))
    np.testing.assert_array_equal(target, np.full(100_000, 1.75, kind))


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool", "<U3", "datetime64[s]"])
def test_what_is_no_float_has_no_part_in_an_update(dtype: str) -> None:
    assert not is_floating(np.dtype(dtype))


@pytest.mark.parametrize(
    ("new", "old", "same"),
    [
        ("float32", "float64", True),
        ("float16", ml_dtypes.bfloat16, True),
        ("complex64", "complex128", True),
        ("complex64", "float32", False),
        ("float32", "complex64", False),
        ("float32", "int32", False),
        ("int32", "float32", False),
        ("int32", "int64", False),
        ("int64", "int64", True),
    ],
)
def test_updates_are_between_values_of_one_kind(new: str, old: str, same: bool) -> None:
    assert same_kind(np.dtype(new), np.dtype(old)) is same


def test_both_parts_of_a_complex_number_count() -> None:
    assert update_norm([(np.array([3 + 4j]), np.array([0j]))]) == 5.0


@pytest.mark.parametrize(
    ("norm", "scale"),
    [(0.0, 1.0), (2.0, 1.0), (8.0, 0.25), (math.nan, 0.0), (math.inf, 0.0)],
)
def test_scale_is_the_bound_over_the_norm_but_1_at_most(norm: float, scale: float) -> None:
    assert clipping_scale(norm, 2.0) == scale


def test_a_scale_of_0_does_not_read_the_new_values() -> None:
    change = scaled_change(np.array([np.nan, np.inf]), np.array([1.0, 2.0]), 0.0)
    np.testing.assert_array_equal(change, [0.0, 0.0])


def test_norms_of_large_float32_values_do_not_overflow() -> None:
    new = np.full(4, 3e38, np.float32)
    assert update_norm([(new, -new)]) == pytest.approx(1.2e39, rel=1e-6)


def test_a_change_is_rounded_once() -> None:
    target = np.empty(1, np.float16)
    apply_change(target, np.ones(1, np.float16), np.array([-1.0 + 1e-7]))
    assert target[0] == np.float16(1e-7)
