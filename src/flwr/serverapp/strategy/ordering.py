"""Putting the values of each coordinate in order, for all coordinates of a block at once.

For up to 32 models by a sorting network: a fixed sequence of comparisons of two rows, of which only
those are done whose outcome is asked for [1]_. Beyond, each coordinate's values are brought side by
side and sorted.

References
----------
.. [1] Batcher, Sorting networks and their applications, AFIPS 1968,
   https://doi.org/10.1145/1468075.1468121
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np

LARGEST_NETWORK = 32  # models; from there on sorting is as fast

Classes = tuple[int | None, ...]
Rows = list[np.ndarray] | np.ndarray


class Comparator(NamedTuple):
    """Puts the smaller of two values first.

    Attributes
    ----------
    first, second : int
        The rows.
    smaller, larger : bool
        Whether that outcome is needed.
    """

    first: int
    second: int
    smaller: bool
    larger: bool


def ordered(rows: np.ndarray, classes: Classes) -> Rows:
    """Return the rows such that the k-th holds what comes k-th in each column.

    Parameters
    ----------
    rows : np.ndarray
        (models, coordinates); used up. In a column with NaN, NaN stands in a place of each class.
    classes : tuple[int or None, ...]
        For each place, what it is needed for: places of one class may be exchanged with each
        other, and what stands at a place of class ``None`` is nobody's concern.
    """
    if len(rows) > LARGEST_NETWORK:
        side_by_side = np.ascontiguousarray(rows.T)
        side_by_side.sort(axis=1)
        if rows.dtype.kind == "f":  # NaN is sorted last; let it spread as in a network
            side_by_side[np.isnan(side_by_side[:, -1])] = np.nan
        return side_by_side.T
    wires = list(rows)
    spare = np.empty_like(rows[0])
    for first, second, smaller, larger in network(classes):
        a, b = wires[first], wires[second]
        if smaller and larger:
            np.minimum(a, b, out=spare)
            np.maximum(a, b, out=b)
            wires[first], spare = spare, a
        elif smaller:
            np.minimum(a, b, out=a)
        else:
            np.maximum(a, b, out=b)
    return wires


@lru_cache(maxsize=256)
def network(classes: Classes) -> tuple[Comparator, ...]:
    """Return the comparators that bring as many values as there are classes to their places."""
    needed: list[object] = list(classes)
    comparators: list[Comparator] = []
    for first, second in reversed(list(_sorting_network(len(classes)))):
        smaller, larger = needed[first], needed[second]
        if smaller != larger:
            comparators.append(Comparator(first, second, smaller is not None, larger is not None))
            needed[first], needed[second] = object(), object()  # these two in just these places
    return tuple(reversed(comparators))


def _sorting_network(count: int) -> Iterator[tuple[int, int]]:
    """Yield the comparisons of Batcher's odd-even mergesort."""
    half = 1
    while half < count:
        step = half
        while step:
            for start in range(step % half, count - step, 2 * step):
                for first in range(start, start + min(step, count - step - start)):
                    if first // (2 * half) == (first + step) // (2 * half):
                        yield first, first + step
            step //= 2
        half *= 2
