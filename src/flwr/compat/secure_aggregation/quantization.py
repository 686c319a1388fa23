"""Floats as integers and back, such that sums of integers are sums of floats."""

from typing import Any

import numpy as np

from flwr.compat.typing import NDArrayFloat, NDArrayInt


def quantize(
    parameters: list[NDArrayFloat], clipping_range: float, target_range: int
) -> list[NDArrayInt]:
    """Return arrays as integers between 0 and a range, rounded at random so that means are kept.

    Parameters
    ----------
    parameters : list of numpy.ndarray
        The values; those beyond the clipping range are cut to it.
    clipping_range : float
        The most that a value may be, in both directions.
    target_range : int
        What ``clipping_range`` becomes; ``-clipping_range`` becomes 0.

    Returns
    -------
    list of numpy.ndarray
        int32, or int64 for a larger range. Draws are of NumPy's global generator.

    Raises
    ------
    ValueError
        If a value is not a number.
    """
    step = target_range / (2 * clipping_range)
    dtype: Any = np.int32 if target_range <= np.iinfo(np.int32).max else np.int64
    quantized = []
    for place, array in enumerate(parameters):
        limited = np.clip(np.asarray(array, np.float64), -clipping_range, clipping_range)
        values = (limited + clipping_range) * step
        if np.isnan(values).any():
            raise ValueError(f"Array {place} holds values that are not a number.")
        above = np.ceil(values)
        draws = np.random.rand(*values.shape)  # noqa: NPY002 - apps seed this one
        quantized.append(np.asarray(above - (draws < above - values)).astype(dtype))
    return quantized


def dequantize(
    quantized_parameters: list[NDArrayInt], clipping_range: float, target_range: int
) -> list[NDArrayFloat]:
    """Return the floats that integers of `quantize` stand for, as float64."""
    step = 2 * clipping_range / target_range
    return [
        np.asarray(np.multiply(array, step, dtype=np.float64) - clipping_range)
        for array in quantized_parameters
    ]
