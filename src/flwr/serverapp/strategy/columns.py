"""Walking many models side by side: the same few coordinates of all of them, then the next few.

Replies may lie in shared memory, on the heap or in a file that is mapped when it is opened. They
are opened anew every 64 MiB of what has been read, so that of all replies together no more than
that is mapped at a time, however large they are (128 KiB of each, if they are more than 500).
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import ClassVar, NamedTuple, Self

import numpy as np

from flwr.app import memory
from flwr.app.layout import Entry, Layout
from flwr.serverapp.strategy.alignment import Alignment, native
from flwr.serverapp.strategy.replies import Update
from flwr.serverapp.strategy.sums import Part, parts_of

BLOCK = 1 << 20  # bytes of a block of all models: they stay in a core's cache
RESIDENT = 1 << 26  # bytes of all models that may be mapped at once
# values of one model in a block: even, so that a complex number, which is two, is not cut
_LEAST_WIDTH, _MOST_WIDTH = 1 << 10, 1 << 14
_LEAST_RESIDENT = 1 << 17  # bytes of one model: to open it more often would cost more than reading

Opened = np.ndarray | Sequence[np.ndarray]  # all bytes as they lie in a layout, or its arrays
Model = Callable[[], Opened]


class Block(NamedTuple):
    """The same coordinates of all models.

    Attributes
    ----------
    part : Part
        The run of values that they belong to.
    low : int
        Where they begin in that run.
    rows : np.ndarray
        (models, coordinates). May be written to; the memory is used for the next block too.
    refill : Callable[[], None]
        Reads the rows again; of use until the next block is asked for.
    """

    part: Part
    low: int
    rows: np.ndarray
    refill: Callable[[], None]


class Columns:
    """The values of some models of one layout, coordinate by coordinate.

    Parameters
    ----------
    layout : Layout
        How the bytes of a model lie.
    models : Sequence[Callable[[], np.ndarray or Sequence[np.ndarray]]]
        Each opens one model: its bytes in that layout, or its arrays in the layout's order, in any
        memory and byte order.

    Raises
    ------
    AggregationError
        If an array holds no numbers.
    """

    def __init__(self, layout: Layout, models: Sequence[Model]) -> None:
        self.layout = layout
        self.parts = parts_of(layout)
        self._models = models

    @classmethod
    def of(cls, models: Sequence[Sequence[np.ndarray]]) -> Self:
        """Return the columns of models that are lists of arrays.

        Raises
        ------
        ValueError
            If the models differ in the number of arrays, in a shape or in a dtype.
        """
        arrays = [[np.asarray(array) for array in model] for model in models]
        for number, model in enumerate(arrays):
            _check_same(number, model, arrays[0])
        first = arrays[0] if arrays else []
        layout = Layout.of(tuple(map(str, range(len(first)))), first)
        return cls(layout, [partial(_itself, model) for model in arrays])

    def __len__(self) -> int:
        return len(self._models)

    def blocks(self, dtype_of_rows: Callable[[Part], np.dtype]) -> Iterator[Block]:
        """Yield all values of all models, block by block.

        Parameters
        ----------
        dtype_of_rows : Callable[[Part], np.dtype]
            The dtype to which the values of a run are brought.
        """
        opened: list[Opened] = []
        room = 0
        for part in self.parts:
            dtype = dtype_of_rows(part)
            count = (part.stop - part.start) // part.dtype.itemsize
            width = min(max(BLOCK // (len(self) * dtype.itemsize), _LEAST_WIDTH), _MOST_WIDTH)
            width -= width % _LEAST_WIDTH
            matrix = np.empty((len(self), min(width, count)), dtype)
            for low in range(0, count, width):
                if room <= 0:
                    opened.clear()  # nothing is mapped twice
                    opened += [model() for model in self._models]
                    room = max(RESIDENT // len(self), _LEAST_RESIDENT)
                rows = matrix[:, : count - low]
                refill = partial(self._fill, rows, opened, part, low)
                refill()
                room -= rows.shape[1] * part.dtype.itemsize
                yield Block(part, low, rows, refill)

    def name_at(self, part: Part, position: int) -> str:
        """Return the name of the array that holds a coordinate of a part."""
        begin = part.start + position * part.dtype.itemsize
        return self.layout.names[bisect_right(self.layout.entries, begin, key=_offset) - 1]

    def _fill(self, rows: np.ndarray, opened: list[Opened], part: Part, low: int) -> None:
        for row, model in zip(rows, opened, strict=True):
            self._read(model, part, low, row)

    def _read(self, model: Opened, part: Part, low: int, row: np.ndarray) -> None:
        begin = part.start + low * part.dtype.itemsize
        end = begin + row.size * part.dtype.itemsize
        if isinstance(model, np.ndarray):
            row[...] = model[begin:end].view(part.dtype)
            return
        entries = self.layout.entries
        position = bisect_right(entries, begin, key=_offset) - 1
        while begin < end:
            entry = entries[position]
            stop = min(end, entry.offset + entry.nbytes)
            if begin < stop:
                values = _values(model[position], entry, begin - entry.offset, stop - entry.offset)
                row[: values.size] = values
                row, begin = row[values.size :], stop
            position += 1


class Gathering:
    """The updates of a round, checked to fit the first one; nothing of them is copied.

    What becomes of them is said by the reducers that are made of this.

    Attributes
    ----------
    updates : list[Update]
        In the order in which they were added.
    """

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Forget what was added; ready for a round."""
        self.updates: list[Update] = []
        self._alignment = Alignment()

    def add(self, update: Update) -> None:
        """Keep one update.

        Raises
        ------
        InconsistentMessageReplies
            If its arrays do not fit those of the first one.
        AggregationError
            If an array is of a kind that no number can be read from.
        """
        self._alignment.opened(update)
        self.updates.append(update)

    def merge(self, other: Self) -> None:
        """Keep what another one was given, as if it came next; that one starts again."""
        for update in other.updates:
            self.add(update)
        other.start()

    def columns(self) -> Columns:
        """Return the columns of the updates' arrays."""
        models = [partial(self._alignment.opened, update) for update in self.updates]
        return Columns(self._alignment.layout, models)


class Gathered(Gathering):
    """The updates of a round as they are."""

    kind: ClassVar[str] = "gather"

    def finish(self) -> list[Update] | None:
        """Return the updates and start again; ``None`` if there are none."""
        updates = self.updates
        self.start()
        return updates or None


def _itself(model: list[np.ndarray]) -> list[np.ndarray]:
    return model


def _offset(entry: Entry) -> int:
    return entry.offset


def _values(array: np.ndarray, entry: Entry, begin: int, stop: int) -> np.ndarray:
    """Return the values that lie between two bytes of an entry; complex ones as pairs."""
    size = memory.dtype_of(entry.dtype).itemsize
    lined = array.T if entry.fortran else array
    flat = lined.reshape(-1) if lined.flags.c_contiguous else lined.flat
    values: np.ndarray = flat[begin // size : stop // size]
    return values.view(values.real.dtype) if values.dtype.kind == "c" else values


def _check_same(number: int, model: list[np.ndarray], first: list[np.ndarray]) -> None:
    if len(model) != len(first):
        raise ValueError(f"Model {number} has {len(model)} arrays, model 0 has {len(first)}.")
    for index, (array, other) in enumerate(zip(model, first, strict=True)):
        if (array.shape, native(array.dtype)) != (other.shape, native(other.dtype)):
            raise ValueError(
                f"Array {index} of model {number} is {array.dtype} of shape {array.shape}, that "
                f"of model 0 is {other.dtype} of shape {other.shape}."
            )
