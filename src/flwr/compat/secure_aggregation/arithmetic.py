"""Arithmetic on lists of arrays, and a number that travels in front of one."""

import numpy as np
import numpy.typing as npt

from flwr.compat.typing import NDArray, NDArrays


def factor_combine(factor: int, parameters: NDArrays) -> NDArrays:
    """Return the arrays with a number in front, as an array of its own."""
    return [np.array([factor]), *parameters]


def factor_extract(parameters: NDArrays) -> tuple[int, NDArrays]:
    """Return the number in front of arrays, and the arrays; undoes `factor_combine`."""
    return parameters[0][0], parameters[1:]


def get_parameters_shape(parameters: NDArrays) -> list[tuple[int, ...]]:
    """Return the arrays' shapes."""
    return [array.shape for array in parameters]


def get_zero_parameters(
    dimensions_list: list[tuple[int, ...]], dtype: npt.DTypeLike = np.int64
) -> NDArrays:
    """Return zeros of the given shapes."""
    return [np.zeros(dimensions, dtype) for dimensions in dimensions_list]


def parameters_addition(parameters1: NDArrays, parameters2: NDArrays) -> NDArrays:
    """Return the sums, array by array.

    Raises
    ------
    ValueError
        If there are not as many of both, or shapes differ.
    """
    return [_alike(a, b) + b for a, b in zip(parameters1, parameters2, strict=True)]


def parameters_subtraction(parameters1: NDArrays, parameters2: NDArrays) -> NDArrays:
    """Return the differences, array by array; errors are those of `parameters_addition`."""
    return [_alike(a, b) - b for a, b in zip(parameters1, parameters2, strict=True)]


def parameters_mod(parameters: NDArrays, divisor: int) -> NDArrays:
    """Return the remainders, not negative for a positive divisor."""
    return [np.mod(array, divisor) for array in parameters]


def parameters_multiply(parameters: NDArrays, multiplier: float) -> NDArrays:
    """Return the products with a number."""
    return [array * multiplier for array in parameters]


def parameters_divide(parameters: NDArrays, divisor: float) -> NDArrays:
    """Return the quotients by a number."""
    return [array / divisor for array in parameters]


def _alike(array: NDArray, other: NDArray) -> NDArray:
    if np.shape(array) != np.shape(other):
        raise ValueError(f"An array of shape {np.shape(array)} meets one of {np.shape(other)}.")
    return array
