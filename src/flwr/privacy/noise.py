"""Gaussian noise that cannot be predicted, drawn in float64."""

import os
from typing import Any

import numpy as np


class GaussianNoise:
    """Adds Gaussian noise from a generator of its own, seeded by the operating system.

    Make a new one for each release, in the process that uses it: of two releases with the same
    noise, as after a fork or a restart from saved state, the difference has none.

    Parameters
    ----------
    stddev : float
        The standard deviation of every value.
    seed : int, optional
        For tests only: noise that can be drawn again protects nobody.
    """

    def __init__(self, stddev: float, seed: int | None = None) -> None:
        self.stddev = stddev
        entropy = int.from_bytes(os.urandom(32), "little") if seed is None else seed
        self._generator = np.random.default_rng(entropy)

    def add_to(self, values: np.ndarray[Any, np.dtype[np.float64]]) -> None:
        """Add an independent draw to each float64 value, in place."""
        draws: np.ndarray[Any, np.dtype[np.float64]]
        draws = self._generator.standard_normal(values.shape)
        draws *= self.stddev
        values += draws
