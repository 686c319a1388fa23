"""Clipping model updates: one L2 norm over all floating-point values, in float64 blocks.

An update is what changed between two models. Values that are not floating-point numbers (counters
of batches, flags, text) have no part in it: whoever clips sends back their old value.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

Vector = np.ndarray[Any, Any]  # any shape; blocks are cut from it in C order
Pair = tuple[Vector, Vector]  # the same array in the new and in the old model

BLOCK = 1 << 14  # values; 128 KiB of float64 stay in a core's cache

_quiet = np.errstate(all="ignore")  # what is not finite is found in the norm


def is_floating(dtype: np.dtype[Any]) -> bool:
    """Whether values of a dtype are part of an update: floats, complex numbers, ml_dtypes' floats.

    Complex numbers count as pairs of floats.
    """
    return dtype.kind in "fc" or dtype.name.startswith(("bfloat", "float"))


def same_kind(new: np.dtype[Any], old: np.dtype[Any]) -> bool:
    """Whether what changed between values of two dtypes is an update, or what did not, the same.

    Floats may be of different precision; all else must be equal.
    """
    if is_floating(new):
        return is_floating(old) and (new.kind == "c") == (old.kind == "c")
    return new == old


def blocks(*arrays: Vector) -> Iterator[tuple[Vector, ...]]:
    """Cut arrays of one shape into blocks of at most `BLOCK` values, the same for each array.

    Arrays of complex numbers are cut as floats. Nothing is copied unless an array is not in C
    order.
    """
    flat = [_flat(array) for array in arrays]
    for low in range(0, flat[0].size, BLOCK):
        yield tuple(values[low : low + BLOCK] for values in flat)


@_quiet
def update_norm(pairs: Iterable[Pair]) -> float:
    """Return the L2 norm of ``new - old`` over all arrays together.

    Parameters
    ----------
    pairs : Iterable[tuple[np.ndarray, np.ndarray]]
        The floating-point arrays of the new and of the old model, pair by pair of one shape.

    Returns
    -------
    float
        In float64; NaN or infinite if a value is, or if the norm is too large for a float64.
    """
    total = 0.0
    for new, old in pairs:
        for new_block, old_block in blocks(new, old):
            change = np.subtract(new_block, old_block, dtype=np.float64)
            total += float(np.add.reduce(np.square(change, out=change)))
    return math.sqrt(total)


def clipping_scale(norm: float, bound: float) -> float:
    """Return by what an update is multiplied so that it is no longer than a bound.

    ``min(1, bound / norm)``; 1 for an update of length 0. An update that is not finite counts as
    none: its scale is 0, and its values must not be used.
    """
    if not math.isfinite(norm):
        return 0.0
    return 1.0 if norm <= bound else bound / norm


@_quiet
def scaled_change(new: Vector, old: Vector, scale: float) -> Vector:
    """Return ``scale * (new - old)`` of one block, in float64.

    With a scale of 0 the new values, which may not be finite, are not read.
    """
    if scale == 0.0:
        return np.zeros(old.shape, np.float64)
    change: Vector = np.subtract(new, old, dtype=np.float64)
    return change if scale == 1.0 else np.multiply(change, scale, out=change)


@_quiet
def apply_change(target: Vector, old: Vector, change: Vector) -> None:
    """Set one block to ``old + change``, rounded to its dtype once; ``change`` is used up."""
    target[...] = np.add(old, change, out=change)


def _flat(array: Vector) -> Vector:
    flat = array.reshape(-1)
    return flat.view(flat.real.dtype) if flat.dtype.kind == "c" else flat
