"""Gaussian noise that cannot be predicted, drawn in float64."""

import os
from typing import Any

import numpy as np


class GaussianNoise:
    """Draws Gaussian noise from a generator that is seeded by the operating system.

    Parameters
    ----------
    seed : int, optional
        For tests and experiments that must repeat: noise that can be drawn again protects nobody.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed
        entropy = int.from_bytes(os.urandom(32), "little") if seed is None else seed
        self._generator = np.random.default_rng(entropy)

    def draw(self, count: int, stddev: float) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return independent float64 values of mean 0.

        Parameters
        ----------
        count : int
            How many.
        stddev : float
            Their standard deviation.
        """
        values: np.ndarray[Any, np.dtype[np.float64]] = self._generator.standard_normal(count)
        values *= stddev
        return values

    def state(self) -> dict[str, Any] | None:
        """Return where a seeded generator has come to, as plain data.

        ``None`` for noise that must not be drawn again: after a restart, fresh noise is drawn. Two
        releases with the same noise would tell their difference exactly.
        """
        return None if self.seed is None else dict(self._generator.bit_generator.state)

    def restore(self, state: dict[str, Any] | None) -> None:
        """Go on from where `state` was taken; ``None`` leaves the generator as it is."""
        if state is not None:
            self._generator.bit_generator.state = state
