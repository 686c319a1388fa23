"""Rules that look at each coordinate by itself: median, trimmed mean, and the mean around a median.

Each is a function of the rows of a block, (models, coordinates), which it may use up, and returns
one value a coordinate: in the rows' dtype, or in float64 where whole numbers of less than 64 bits
have to be averaged.
"""

import math
from collections.abc import Callable
from logging import WARNING
from typing import ClassVar

import numpy as np

from flwr.app import ArrayRecord, memory
from flwr.log import log
from flwr.serverapp.exception import AggregationError
from flwr.serverapp.strategy.columns import Block, Columns, Gathering
from flwr.serverapp.strategy.ordering import Rows, ordered
from flwr.serverapp.strategy.sums import (
    Part,
    allocate_model,
    as_values,
    differences,
    moved,
    origin_of,
    total_dtype,
)

Rule = Callable[[np.ndarray], np.ndarray]

_GROUP = 32  # rows that are summed before their sum joins the total: keeps float32 sums accurate
_quiet = np.errstate(all="ignore")  # what is not finite is reported once, by name, not by numpy


def median(rows: np.ndarray) -> np.ndarray:
    """Return the median of each column [1]_; of an even number, the mean of the middle two.

    NaN counts as larger than any number: it is the median only where it reaches the middle.

    References
    ----------
    .. [1] Yin et al., Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates,
       https://arxiv.org/abs/1803.01498, Definition 1
    """
    count = len(rows)
    return _mean_of_places(rows, slice((count - 1) // 2, count // 2 + 1))


def trimmed_mean(rows: np.ndarray, beta: float) -> np.ndarray:
    """Return the mean of each column without its smallest and its largest values [1]_.

    NaN counts as larger than any number.

    Parameters
    ----------
    rows : np.ndarray
        (models, coordinates).
    beta : float
        Of n values, ``int(beta * n)`` are left out at each end.

    Raises
    ------
    AggregationError
        If none is left.

    References
    ----------
    .. [1] Yin et al., Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates,
       https://arxiv.org/abs/1803.01498, Definition 2
    """
    count = len(rows)
    cut = int(beta * count)
    if not 0 <= cut < count - cut:
        raise AggregationError(
            f"A trimmed mean with beta {beta} leaves out {cut} of {count} values at each end."
        )
    return _mean(list(rows)) if cut == 0 else _mean_of_places(rows, slice(cut, count - cut))


def mean_around_median(rows: np.ndarray, leave_out: int) -> np.ndarray:
    """Return the mean of the values of each column that lie closest to its median [1]_.

    Of two values as far from the median as each other, the smaller one counts as closer.

    Parameters
    ----------
    rows : np.ndarray
        (models, coordinates).
    leave_out : int
        How many values do not count.

    Raises
    ------
    AggregationError
        If none is left.

    References
    ----------
    .. [1] El Mhamdi et al., The Hidden Vulnerability of Distributed Learning in Byzantium,
       https://arxiv.org/abs/1802.07927, section 4
    """
    count = len(rows)
    keep = count - leave_out
    if keep < 1:
        raise AggregationError(
            f"{count} models are too few: {leave_out} values of each coordinate are left out."
        )
    origin = origin_of(rows[0])
    if origin is not None:
        return moved(origin, mean_around_median(differences(rows, origin), leave_out))
    places = ordered(rows, tuple(range(count)))
    low, high = (count - 1) // 2, count // 2
    middle = places[low].copy() if low == high else _mean(places[low : high + 1])
    # In order, the closest values are neighbours. Place k falls out for place k + keep if that is
    # closer, which then takes its slot; with few to keep, slots change hands more than once.
    for place in range(leave_out):
        smaller, larger = places[place], places[place + keep]
        closer = np.subtract(middle, smaller) > np.subtract(larger, middle)
        np.copyto(places[place % keep], larger, where=closer)
    return _mean(places[:keep])


class Columnwise(Gathering):
    """One model made of many by a rule that looks at each coordinate by itself.

    All replies count the same, whatever their weight, and are kept until `finish`. The result has
    the array names, shapes and dtypes of the first reply: 16-bit floats are reduced in float32,
    whole numbers rounded half to even, bools are true from a value of 0.5.

    Parameters
    ----------
    phase : str
        The name of the step in warnings.
    rule : Callable[[np.ndarray], np.ndarray]
        One of this module's, for example.
    """

    kind: ClassVar[str] = "blockwise"

    def __init__(self, phase: str, rule: Rule) -> None:
        self.phase = phase
        self.rule = rule
        super().__init__()

    def finish(self) -> ArrayRecord | None:
        """Return the model and start again; ``None`` if nothing was added.

        Raises
        ------
        AggregationError
            If an array is of a kind that has no order.
        """
        if not self.updates:
            return None
        columns, nodes = self.columns(), [update.node_id for update in self.updates]
        self.start()
        buffer, nan = reduce_columns(columns, self.rule)
        if nan:
            log(
                WARNING,
                "%s: the aggregated arrays are not finite, because of %s",
                self.phase,
                ", ".join(f"array '{name}' of node {nodes[at]}" for at, name in nan.items()),
            )
        return memory.adopt(columns.layout, buffer)


@_quiet
def reduce_columns(columns: Columns, rule: Rule) -> tuple[np.ndarray, dict[int, str]]:
    """Apply a rule to each coordinate of at least one model.

    Returns
    -------
    tuple[np.ndarray, dict[int, str]]
        The result's bytes in the models' layout, and why there is NaN in it: the position of each
        model that holds such, with the name of the first array.

    Raises
    ------
    AggregationError
        If an array is of a kind that has no order.
    """
    _check_order(columns)
    buffer = allocate_model(columns.layout)
    culprits: dict[int, str] = {}
    for block in columns.blocks(_row_dtype):
        values = rule(block.rows)
        nan = np.isnan(values) if has_nan(values) else None
        target = block.part.values(buffer)[block.low : block.low + values.size]
        exact = values.dtype.kind == target.dtype.kind
        target[...] = values if exact else as_values(values, target.dtype)
        if nan is not None:
            _find_culprits(columns, block, nan, culprits)
    return buffer, culprits


def has_nan(values: np.ndarray) -> bool:
    """Whether there is NaN in an array that is not empty."""
    return values.dtype.kind == "f" and math.isnan(values.max())


def _check_order(columns: Columns) -> None:
    for run in columns.layout.runs:
        if run.count and memory.dtype_of(run.dtype).kind == "c":
            raise AggregationError(
                f"Array '{columns.layout.names[run.first]}' has dtype {run.dtype}: complex numbers "
                "have no order."
            )


def _row_dtype(part: Part) -> np.dtype:
    if part.dtype.kind == "b":
        return np.dtype(np.uint8)
    return part.dtype.newbyteorder("=") if part.dtype.kind in "iu" else part.total


def _find_culprits(
    columns: Columns, block: Block, nan: np.ndarray, culprits: dict[int, str]
) -> None:
    block.refill()  # also where the values were, perhaps
    for model, row in enumerate(block.rows):
        places = np.flatnonzero(nan & np.isnan(row))
        if places.size and model not in culprits:
            culprits[model] = columns.name_at(block.part, block.low + int(places[0]))


def _mean_of_places(rows: np.ndarray, kept: slice) -> np.ndarray:
    """Return the mean of what comes at some places in the order of each column, NaN last."""
    with_nan = np.isnan(rows).any(axis=0) if has_nan(rows) else None
    apart = None if with_nan is None else np.sort(rows[:, with_nan], axis=0)  # puts NaN last
    needed = range(len(rows))[kept]
    places = ordered(rows, tuple(0 if place in needed else None for place in range(len(rows))))
    means = _mean(places[kept])
    if apart is not None:
        means[with_nan] = _mean(apart[kept])
    return means


def _mean(rows: Rows) -> np.ndarray:
    """Return the mean of each column, in new memory; of one row, that row as it is."""
    if len(rows) == 1:
        return rows[0].copy()
    origin = origin_of(rows[0])
    if origin is not None:
        return moved(origin, _mean([differences(row, origin) for row in rows]))
    dtype = total_dtype(rows[0].dtype)
    if isinstance(rows, np.ndarray):  # sorted side by side: numpy adds them up pair by pair
        total: np.ndarray = np.add.reduce(rows, axis=0, dtype=dtype)
    else:
        total = _sum(rows[:_GROUP], dtype)
        for first in range(_GROUP, len(rows), _GROUP):
            total += _sum(rows[first : first + _GROUP], dtype)
    total /= len(rows)
    return total


def _sum(rows: list[np.ndarray], dtype: np.dtype | None) -> np.ndarray:
    total: np.ndarray = rows[0].astype(dtype)
    for row in rows[1:]:
        total += row
    return total
