"""The legacy path of clipping and noise."""

from flwr.compat.differential_privacy import (
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

__all__ = [
    "adaptive_clip_inputs_inplace",
    "add_gaussian_noise_inplace",
    "add_gaussian_noise_to_params",
    "add_localdp_gaussian_noise_to_params",
    "clip_inputs_inplace",
    "compute_adaptive_clip_model_update",
    "compute_adaptive_noise_params",
    "compute_clip_model_update",
    "compute_stdv",
    "get_norm",
]
