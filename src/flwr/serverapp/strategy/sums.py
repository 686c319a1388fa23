"""Sums over the bytes of replies: in place, block by block, without model-sized temporaries.

float32 values are summed in float32, float64 in float64, whole numbers and bools in float64,
narrower floats in float32; complex numbers are pairs of floats. Whole numbers of 64 bits, of which
float64 holds those up to 2^53 only, are summed as differences to those of the first reply. Each
value is summed in the order of the replies, whatever the size of the blocks, so blocks never change
the bits of a result.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from flwr.app import memory
from flwr.app.layout import Layout, Run
from flwr.serverapp.exception import AggregationError
from flwr.serverapp.strategy.scale import Scale, Weighted

BLOCK = 1 << 15  # values; 128 KiB of float32 stay in a core's cache while many replies are added
_NEAR = 2.0**62  # differences from here on may not be what they are in 64 bits

_quiet = np.errstate(all="ignore")  # infinite values are reported once, by name, not by numpy


class Part(NamedTuple):
    """A run of values of one dtype in a reply's bytes, and the dtype of their sums."""

    start: int
    stop: int
    dtype: np.dtype
    total: np.dtype

    def values(self, buffer: np.ndarray) -> np.ndarray:
        """Return the run's values in a buffer as a 1-d view."""
        return buffer[self.start : self.stop].view(self.dtype)

    def totals(self, buffer: np.ndarray) -> np.ndarray:
        """Return where the sums go: the run's place in ``buffer`` if they fit, else new memory."""
        if self.total.itemsize == self.dtype.itemsize:
            return buffer[self.start : self.stop].view(self.total)
        return np.empty((self.stop - self.start) // self.dtype.itemsize, self.total)


class WeightedSum:
    """The weighted sum of replies of one layout, in the memory of one model.

    Parameters
    ----------
    layout : Layout
        How the bytes of the replies lie.
    origins : Sequence[np.ndarray or None]
        From `origins_of`: sums with the same origins give the same bits in whatever way they join.

    Raises
    ------
    AggregationError
        If an array's dtype has no mean (text, dates, structures).
    """

    def __init__(self, layout: Layout, origins: Sequence[np.ndarray | None]) -> None:
        self.count = 0
        self._scale = Scale()
        self._parts = parts_of(layout)
        self._origins = origins
        self._buffer = allocate_model(layout)
        self._totals = [part.totals(self._buffer) for part in self._parts]
        longest = max((total.size for total in self._totals), default=0)
        self._scratch = {
            part.total: np.empty((2, min(longest, BLOCK)), part.total) for part in self._parts
        }

    def clear(self) -> None:
        """Begin a new sum in the same memory."""
        self.count = 0
        self._scale = Scale()

    @_quiet
    def add(self, replies: Sequence[Weighted]) -> bool:
        """Add replies one after the other; tell whether the sum holds a NaN now.

        Parameters
        ----------
        replies : Sequence[tuple[np.ndarray, float]]
            The bytes of each, and its weight above 0.
        """
        self.count += len(replies)
        counted, fresh = self._scale.factors(replies)
        nan = False
        for part, total, origin in self._each():
            scratch = self._scratch[part.total][0]
            terms = [(part.values(buffer), factor) for buffer, factor in counted]
            for low in range(0, total.size, BLOCK):
                block = total[low : low + BLOCK]
                _add(block, _cut(terms, low, origin), scratch, fresh)
                nan |= has_nan(block)
        return nan

    @_quiet
    def add_groups(self, groups: Sequence[Sequence[Weighted]]) -> bool:
        """Sum each group of replies, then add their sums; tell whether the sum holds a NaN now."""
        summed: list[tuple[list[Weighted], float]] = []
        fresh = False
        for replies in groups:
            self.count += len(replies)
            scale = Scale()
            counted, _ = scale.factors(replies)
            factor, outweighs = self._scale.factor(scale.reference, scale.weight)
            if outweighs:
                fresh = True
                summed.clear()
            summed.append((counted, factor))
        nan = False
        for part, total, origin in self._each():
            product, group = self._scratch[part.total]
            terms = [
                ([(part.values(buffer), factor) for buffer, factor in counted], group_factor)
                for counted, group_factor in summed
            ]
            for low in range(0, total.size, BLOCK):
                block = total[low : low + BLOCK]
                begin = fresh
                for group_terms, group_factor in terms:
                    group_blocks = _cut(group_terms, low, origin)
                    _add(group[: block.size], group_blocks, product, fresh=True)
                    _add(block, [(group[: block.size], group_factor)], product, begin)
                    begin = False
                nan |= has_nan(block)
        return nan

    @_quiet
    def join(self, other: "WeightedSum") -> None:
        """Add another sum over the same layout, which is used up."""
        self.count += other.count
        factor, fresh = self._scale.factor(other._scale.reference, other._scale.weight)
        for (_, total, origin), (_, more, theirs) in zip(self._each(), other._each(), strict=True):
            if origin is not None and theirs is not None and origin is not theirs:
                np.add(more, differences(theirs, origin) * other._scale.weight, out=more)
            for low in range(0, total.size, BLOCK):
                block = total[low : low + BLOCK]
                _add(block, _cut([(more, factor)], low), self._scratch[total.dtype][0], fresh)

    @_quiet
    def mean(self) -> np.ndarray:
        """Return the bytes of the mean, made in place: the sum is used up.

        Whole numbers are rounded half to even; a bool is true from a mean of 0.5.
        """
        for part, total, origin in self._each():
            target = part.values(self._buffer)
            for low in range(0, total.size, BLOCK):
                block = total[low : low + BLOCK]
                np.divide(block, self._scale.weight, out=block)
                if origin is not None:
                    target[low : low + BLOCK] = moved(origin[low : low + BLOCK], block)
                elif part.dtype != part.total:
                    target[low : low + BLOCK] = as_values(block, part.dtype)
        return self._buffer

    def _each(self) -> Iterator[tuple[Part, np.ndarray, np.ndarray | None]]:
        return zip(self._parts, self._totals, self._origins, strict=True)


def _cut(
    terms: Sequence[Weighted], low: int, origin: np.ndarray | None = None
) -> Iterator[Weighted]:
    for values, factor in terms:
        block = values[low : low + BLOCK]
        yield block if origin is None else differences(block, origin[low : low + BLOCK]), factor


def _add(block: np.ndarray, terms: Iterable[Weighted], scratch: np.ndarray, fresh: bool) -> None:
    """Add values times factors to a block, or set it to them, one after the other."""
    dtype = block.dtype
    for values, factor in terms:
        if fresh:
            np.multiply(values, factor, out=block, dtype=dtype)
            fresh = False
        elif factor == 1.0:
            np.add(block, values, out=block, dtype=dtype)
        else:
            product = scratch[: block.size]
            np.multiply(values, factor, out=product, dtype=dtype)
            np.add(block, product, out=block)


def has_nan(block: np.ndarray) -> bool:
    """Whether a vector that is not empty holds a NaN."""
    return math.isnan(np.maximum.reduce(block))  # a NaN wins


def allocate_model(layout: Layout) -> np.ndarray:
    """Return memory for the bytes of a model, zero where no values belong: those are sent too."""
    buffer = memory.allocate(layout.nbytes)
    end = 0
    for run in layout.runs:
        buffer[end : run.start] = 0
        end = run.start + run.count * memory.dtype_of(run.dtype).itemsize
    return buffer


def as_values(means: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return means as values of a dtype: whole numbers rounded half to even, bools from 0.5 on."""
    values: np.ndarray = means
    if dtype.kind == "b":
        values = means >= 0.5
    elif dtype.kind in "iu":
        limits = np.iinfo(dtype)
        low, high = float(limits.min), float(limits.max)
        if high > limits.max:  # 2**63 and 2**64, which no 64-bit value reaches
            high = float(np.nextafter(high, 0.0))
        values = np.clip(np.rint(means), low, high)
    return values


def origins_of(layout: Layout, buffer: np.ndarray) -> list[np.ndarray | None]:
    """Return the origin of each run of values in the bytes of a reply."""
    return [origin_of(part.values(buffer)) for part in parts_of(layout)]


def origin_of(values: np.ndarray) -> np.ndarray | None:
    """Return what 64-bit whole numbers are near to; ``None`` for other values.

    Even numbers, so that a difference is rounded half to even as the whole is.
    """
    if values.dtype.kind not in "iu" or values.dtype.itemsize < 8:
        return None
    even: np.ndarray = values >> 1 << 1
    return even


def differences(values: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """Return 64-bit whole numbers less their origin in float64, which holds them up to 2^53."""
    exact = np.subtract(values, origin).view(np.int64)  # wraps around
    rough: np.ndarray = np.subtract(values, origin, dtype=np.float64)
    np.copyto(rough, exact, where=np.abs(rough) < _NEAR)
    return rough


def moved(origin: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Return an origin plus differences, rounded half to even, within the limits of its dtype."""
    by = np.rint(by)
    near = np.abs(by) < _NEAR
    steps = np.where(near, by, 0.0).astype(np.int64)
    exact = origin + steps.view(origin.dtype)  # wraps around
    near &= (exact < origin) == (steps < 0)
    rough = as_values(origin.astype(np.float64) + by, origin.dtype).astype(origin.dtype)
    return np.where(near, exact, rough)


def parts_of(layout: Layout) -> list[Part]:
    """Return the runs of values that are not empty; see `part_of`."""
    return [part_of(layout, run) for run in layout.runs if run.count]


def part_of(layout: Layout, run: Run) -> Part:
    """Return the values of a run that is not empty; complex ones count as pairs of floats.

    Raises
    ------
    AggregationError
        If they have no mean.
    """
    dtype = memory.dtype_of(run.dtype)
    stop = run.start + run.count * dtype.itemsize
    if dtype.kind == "c":
        dtype = np.empty(0, dtype).real.dtype
    total = total_dtype(dtype)
    if total is None:
        raise AggregationError(
            f"Array '{layout.entries[run.first].name}' has dtype {run.dtype}: its values have "
            "no mean."
        )
    return Part(run.start, stop, dtype, total)


def total_dtype(dtype: np.dtype) -> np.dtype | None:
    """Return the dtype in which values of a dtype are summed; ``None`` if they are no numbers."""
    if dtype.kind in "biu":
        return np.dtype(np.float64)
    if dtype.kind == "f" and dtype.itemsize >= 4:
        return dtype.newbyteorder("=")
    if dtype.kind == "f" or dtype.name.startswith(("bfloat", "float")):  # ml_dtypes are of kind V
        return np.dtype(np.float32)
    return None
