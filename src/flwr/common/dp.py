"""The old path of clipping and noise."""

from flwr.compat.differential_privacy import add_gaussian_noise, clip_by_l2

__all__ = ["add_gaussian_noise", "clip_by_l2"]
