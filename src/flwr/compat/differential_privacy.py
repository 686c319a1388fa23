"""Clipping and noise as functions on lists of arrays: what legacy code imports.

Floating-point arrays are clipped and noised. Others (counters, flags) are no part of an update: in
a model they go back to their old value, in an update they stay. What is not finite counts as no
update. Noise cannot be predicted, nor seeded.
"""

import math

import numpy as np

from flwr.compat.parameters import ndarrays_to_parameters, parameters_to_ndarrays
from flwr.compat.typing import NDArray, NDArrays, Parameters
from flwr.log import warn_deprecated_feature
from flwr.privacy.adaptive import split_noise
from flwr.privacy.calibration import classical_stddev
from flwr.privacy.clipping import (
    apply_change,
    blocks,
    clipping_scale,
    is_floating,
    scaled_change,
    update_norm,
)
from flwr.privacy.noise import GaussianNoise

KEY_CLIPPING_NORM = "clipping_norm"
KEY_NORM_BIT = "norm_bit"
CLIENTS_DISCREPANCY_WARNING = (
    "The number of clients returning parameters (%s) differs from the number of sampled clients "
    "(%s). This could impact the differential privacy guarantees, potentially leading to privacy "
    "leakage or inadequate noise calibration."
)


def get_norm(input_arrays: NDArrays) -> float:
    """Return the L2 norm over all arrays together, in float64."""
    squares = (
        float(np.add.reduce(np.square(block, dtype=np.float64)))
        for array in input_arrays
        for (block,) in blocks(np.asarray(array))
    )
    return math.sqrt(sum(squares))


def clip_inputs_inplace(input_arrays: NDArrays, clipping_norm: float) -> None:
    """Scale an update, in place, so that its norm is no longer than a bound."""
    adaptive_clip_inputs_inplace(input_arrays, clipping_norm)


def adaptive_clip_inputs_inplace(input_arrays: NDArrays, clipping_norm: float) -> bool:
    """Do the same as `clip_inputs_inplace`, and return whether the update was longer."""
    floating = _floating(input_arrays)
    scale = clipping_scale(get_norm([input_arrays[place] for place in floating]), clipping_norm)
    if scale != 1.0:
        for place in floating:
            array = np.asarray(input_arrays[place])
            scaled = array * array.dtype.type(scale) if scale else np.zeros_like(array)
            _put(input_arrays, place, scaled)
    return scale != 1.0


def compute_clip_model_update(param1: NDArrays, param2: NDArrays, clipping_norm: float) -> None:
    """Clip what changed from one model to another, in place.

    Parameters
    ----------
    param1 : list of numpy.ndarray
        The new model; becomes ``param2 + min(1, clipping_norm / norm) * (param1 - param2)``.
    param2 : list of numpy.ndarray
        The old one, as many arrays of the same shapes.
    clipping_norm : float
        The most that the norm may be, over all floating-point arrays together.
    """
    compute_adaptive_clip_model_update(param1, param2, clipping_norm)


def compute_adaptive_clip_model_update(
    param1: NDArrays, param2: NDArrays, clipping_norm: float
) -> bool:
    """Do the same as `compute_clip_model_update`, and return whether the update was longer."""
    pairs = list(zip(map(np.asarray, param1), map(np.asarray, param2), strict=True))
    floating = _floating(param1)
    norm = update_norm([pairs[place] for place in floating])
    scale = clipping_scale(norm, clipping_norm)
    for place, (new, old) in enumerate(pairs):
        if place not in floating:
            _put(param1, place, old)
        elif scale != 1.0:
            clipped = np.empty(new.shape, new.dtype)
            for target, new_block, old_block in blocks(clipped, new, old):
                apply_change(target, old_block, scaled_change(new_block, old_block, scale))
            _put(param1, place, clipped)
    return scale != 1.0


def add_gaussian_noise_inplace(input_arrays: NDArrays, std_dev: float) -> None:
    """Add Gaussian noise to each floating-point value, in place."""
    noise = GaussianNoise(std_dev)
    for place in _floating(input_arrays):
        array = np.asarray(input_arrays[place])
        noised = np.empty(array.shape, array.dtype)
        for target, block in blocks(noised, array):
            change = np.zeros(block.shape)
            noise.add_to(change)
            apply_change(target, block, change)
        _put(input_arrays, place, noised)


def compute_stdv(noise_multiplier: float, clipping_norm: float, num_sampled_clients: int) -> float:
    """Return the standard deviation of central noise: multiplier times bound over clients."""
    return noise_multiplier * clipping_norm / num_sampled_clients


def add_gaussian_noise_to_params(
    model_params: Parameters,
    noise_multiplier: float,
    clipping_norm: float,
    num_sampled_clients: int,
) -> Parameters:
    """Return parameters with noise of the standard deviation that `compute_stdv` gives."""
    stddev = compute_stdv(noise_multiplier, clipping_norm, num_sampled_clients)
    return _with_noise(model_params, stddev)


def add_localdp_gaussian_noise_to_params(
    model_params: Parameters, sensitivity: float, epsilon: float, delta: float
) -> Parameters:
    """Return parameters with noise of ``sensitivity * sqrt(2 ln(1.25 / delta)) / epsilon``."""
    return _with_noise(model_params, classical_stddev(sensitivity, epsilon, delta))


def compute_adaptive_noise_params(
    noise_multiplier: float, num_sampled_clients: float, clipped_count_stddev: float | None
) -> tuple[float, float]:
    """Divide a noise multiplier between the count of clipped updates and the model.

    Returns
    -------
    tuple[float, float]
        The standard deviation of the count, by default a twentieth of the clients, and the
        multiplier that is left for the model.

    Raises
    ------
    ValueError
        If the count alone would cost more than there is.
    """
    return split_noise(noise_multiplier, int(num_sampled_clients), clipped_count_stddev)


def clip_by_l2(update: NDArrays, threshold: float) -> tuple[NDArrays, bool]:
    """Return a clipped copy of an update, and whether it was longer. Deprecated."""
    warn_deprecated_feature("`clip_by_l2`: use `flwr.clientapp.mod.fixedclipping_mod`.")
    clipped = [np.array(array) for array in update]
    return clipped, adaptive_clip_inputs_inplace(clipped, threshold)


def add_gaussian_noise(update: NDArrays, std_dev: float) -> NDArrays:
    """Return a copy of an update with Gaussian noise. Deprecated."""
    warn_deprecated_feature("`add_gaussian_noise`: use `flwr.clientapp.mod.LocalDpMod`.")
    noised = [np.array(array) for array in update]
    add_gaussian_noise_inplace(noised, std_dev)
    return noised


def _floating(arrays: NDArrays) -> list[int]:
    return [place for place, array in enumerate(arrays) if is_floating(np.asarray(array).dtype)]


def _put(arrays: NDArrays, place: int, values: NDArray) -> None:
    """Write values into an array of a list; what cannot be written to is replaced."""
    array = arrays[place]
    if isinstance(array, np.ndarray) and array.flags.writeable:
        array[...] = values
    else:
        arrays[place] = np.array(values)


def _with_noise(parameters: Parameters, stddev: float) -> Parameters:
    arrays = parameters_to_ndarrays(parameters)
    add_gaussian_noise_inplace(arrays, stddev)
    return ndarrays_to_parameters(arrays)
