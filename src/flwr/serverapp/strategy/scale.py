"""Weights relative to each other, so that nothing depends on their scale."""

from collections.abc import Sequence

import numpy as np

Weighted = tuple[np.ndarray, float]  # bytes or values, and their weight or factor

_NEGLIGIBLE = 2.0**64  # times a weight: beside it, that weight is below a float64's last bit


class Scale:
    """Weights relative to the first one; equal weights are factors of 1, which are exact.

    Attributes
    ----------
    reference : float
        The weight whose factor is 1; 0 before the first one.
    weight : float
        The sum of the factors.
    """

    def __init__(self) -> None:
        self.reference = 0.0
        self.weight = 0.0

    def factor(self, weight: float, amount: float = 1.0) -> tuple[float, bool]:
        """Count ``amount`` things of a weight above 0.

        Returns
        -------
        tuple[float, bool]
            The factor of the weight, and whether all that was counted before is void: it is
            nothing beside this weight, which is the reference now. So it is for the first one.
        """
        outweighs = weight > self.reference * _NEGLIGIBLE
        if outweighs:
            self.reference, self.weight = weight, 0.0
        factor = weight / self.reference
        self.weight += factor * amount
        return factor, outweighs

    def factors(self, replies: Sequence[Weighted]) -> tuple[list[Weighted], bool]:
        """Count replies; return those that count with their factors, and whether only they do."""
        counted: list[Weighted] = []
        outweighed = False
        for buffer, weight in replies:
            factor, outweighs = self.factor(weight)
            if outweighs:
                outweighed = True
                counted.clear()
            counted.append((buffer, factor))
        return counted, outweighed
