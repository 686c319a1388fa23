"""The sum of updates: what nodes changed in a model, without holding any of them."""

from collections.abc import Sequence

import numpy as np

from flwr.privacy.clipping import blocks, scaled_change
from flwr.serverapp.strategy.reducers import GROUP
from flwr.serverapp.strategy.scale import Scale

Vectors = Sequence[np.ndarray]  # of floats, 1-d: all those of a model


class UpdateSum:
    """A weighted sum of updates, in the memory of one model; of two beyond 32 updates.

    Each change is taken in float64, block by block, and added in the order in which they come, in
    groups of 32 whose sums are then added.

    Parameters
    ----------
    totals : Vectors
        Memory for the sum.
    """

    def __init__(self, totals: Vectors) -> None:
        self._group = totals
        self._total: Vectors | None = None
        self._grouped = 0
        self._scale = Scale()
        self._clear(totals)

    @property
    def weight(self) -> float:
        """The sum of the weights, relative to the first one."""
        return self._scale.weight

    def add(self, new: Vectors, old: Vectors, weight: float, scale: float) -> None:
        """Add ``scale * (new - old)`` with a weight above 0.

        With a scale of 0 only the weight is counted.
        """
        factor = self._factor(weight)
        if self._grouped == GROUP:
            self._close_group()
        self._grouped += 1
        if scale == 0:
            return
        for new_vector, old_vector, total in zip(new, old, self._group, strict=True):
            for new_block, old_block, block in blocks(new_vector, old_vector, total):
                change = scaled_change(new_block, old_block, scale * factor)
                np.add(block, change, out=block, casting="same_kind")

    def join(self, other: "UpdateSum") -> None:
        """Add another sum over vectors of the same lengths, as if it came next."""
        if other.weight:
            factor = self._factor(other._scale.reference, other.weight)
            _add(self.finish(), other.finish(), factor)

    def finish(self) -> Vectors:
        """Return all that was added, in units of the first weight; more may be added to it."""
        if self._total is not None:
            _add(self._total, self._group)
            self._group, self._total, self._grouped = self._total, None, GROUP
        return self._group

    def _factor(self, weight: float, amount: float = 1.0) -> float:
        factor, outweighs = self._scale.factor(weight, amount)
        if outweighs:
            self._total, self._grouped = None, 0
            self._clear(self._group)
        return factor

    def _close_group(self) -> None:
        if self._total is None:
            self._total = self._group
            self._group = [np.zeros_like(vector) for vector in self._total]
        else:
            _add(self._total, self._group)
            self._clear(self._group)
        self._grouped = 0

    def _clear(self, vectors: Vectors) -> None:
        for vector in vectors:
            vector[...] = 0


def _add(totals: Vectors, more: Vectors, factor: float = 1.0) -> None:
    for total, vector in zip(totals, more, strict=True):
        for block, addend in blocks(total, vector):
            np.add(block, addend if factor == 1.0 else addend * factor, out=block)
