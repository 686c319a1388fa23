"""How the arrays of a record lie in one run of bytes.

The entries follow each other, each aligned to its own item size, so that the values of a model of
one dtype are one gapless vector. Layouts are interned: equal ones are the same object as long as
anybody holds one.
"""

import math
import reprlib
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any, Literal, NamedTuple

import numpy as np

from flwr.app.dtypes import dtype_of, is_extension, name_of
from flwr.app.npy import NDArray, header, is_fortran

NUMPY_STYPE = "numpy.ndarray"

_RAW_ALIGNMENT = 64  # of verbatim .npy data, whose values then are aligned too
_LARGEST = 2**62  # bytes, of one entry and of a layout: no sum of two overflows
_MOST_DIMENSIONS = 64
_HEADER_TYPES = (str, str, list, bool, str, bool, int)
_BYTE = np.dtype(np.uint8)


@dataclass(frozen=True, slots=True)
class Entry:
    """One array of a record, and where it lies.

    Attributes
    ----------
    name : str
        Its key in the record.
    dtype : str
        Canonical name, such that ``memory.dtype_of`` gives the dtype. Of a raw entry: whatever the
        `Array` says.
    shape : tuple of int
        As the `Array` says.
    fortran : bool
        Whether the values lie column by column.
    stype : str
        How `Array.data` is serialised.
    raw : bool
        Whether the bytes are `Array.data` itself rather than the values.
    offset : int
        Where the bytes begin.
    nbytes : int
        How many they are.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    fortran: bool
    stype: str
    raw: bool
    offset: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive entries of one dtype that lie without gaps: one vector.

    Attributes
    ----------
    dtype : str
        Canonical name.
    start : int
        Where the bytes begin.
    count : int
        Number of values.
    first, last : int
        The entries are ``layout.entries[first:last]``.
    """

    dtype: str
    start: int
    count: int
    first: int
    last: int


class Part(NamedTuple):
    """What an entry is before it has a place; see `Entry`."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    fortran: bool
    stype: str
    raw: bool
    nbytes: int


class Layout:
    """How the arrays of a record lie in one run of bytes; made by its class methods.

    Attributes
    ----------
    entries : tuple of Entry
        In record order.
    names : tuple of str
        Their keys.
    index : dict of str to int
        The position of each key; not to be changed.
    nbytes : int
        Length of the whole.
    runs : tuple of Run
        The values as vectors, raw entries left out.
    has_raw : bool
        Whether any entry is raw.
    """

    __slots__ = (
        "__weakref__",
        "_gaps",
        "_singles",
        "_specs",
        "_vectors",
        "entries",
        "has_raw",
        "index",
        "names",
        "nbytes",
        "runs",
    )

    def __init__(self, entries: tuple[Entry, ...]) -> None:
        self.entries = entries
        self.names = tuple(entry.name for entry in entries)
        self.index = {name: position for position, name in enumerate(self.names)}
        self.nbytes = entries[-1].offset + entries[-1].nbytes if entries else 0
        self.has_raw = any(entry.raw for entry in entries)
        self.runs = tuple(_runs(entries))
        self._specs = [_spec(entry) for entry in entries]
        self._gaps = list(_gaps(entries))
        self._vectors = list(_vectors(self))
        in_vectors = {i for vector in self._vectors for i in range(vector.first, vector.last)}
        self._singles = [i for i in range(len(entries)) if i not in in_vectors]

    @classmethod
    def of(cls, names: Sequence[str], arrays: Sequence[NDArray]) -> "Layout":
        """Return the layout of some arrays.

        Fortran-ordered arrays keep their order, others that are not contiguous become C order.

        Parameters
        ----------
        names : sequence of str
            The keys.
        arrays : sequence of ndarray
            Exactly of that class, not of a subclass.

        Raises
        ------
        ValueError
            An array holds Python objects, or there is not one name for each array.
        """
        signature = (tuple(names), *[(a.dtype, a.shape, a.strides) for a in arrays])
        layout = _known.get(signature)
        if layout is None:
            layout = cls.of_parts(
                [part_of(name, array) for name, array in zip(names, arrays, strict=True)]
            )
            _remember(signature, layout)
        return layout

    @classmethod
    def of_parts(cls, parts: Sequence[Part]) -> "Layout":
        """Return the layout that has these parts in this order."""
        key = tuple(parts)
        with _lock:
            layout = _interned.get(key)
        if layout is None:
            made = cls(_placed(key))
            with _lock:
                layout = _interned.setdefault(key, made)
        return layout

    @classmethod
    def from_header(cls, header: list[Any]) -> "Layout":
        """Return the layout that `header` described.

        Offsets are not taken from the header, they follow from the order: entries never overlap.

        Raises
        ------
        ValueError
            It is no header of a layout, or claims sizes that cannot be.
        """
        if not isinstance(header, list):
            raise ValueError(f"A layout is a list, not {type(header).__name__}.")
        parts = [_checked(item) for item in header]
        if len({part.name for part in parts}) != len(parts):
            raise ValueError("A layout names an array twice.")
        return cls.of_parts(parts)

    def header(self) -> list[Any]:
        """Return the layout as plain lists: ``[name, dtype, shape, fortran, stype, raw, nbytes]``.

        The inverse of `from_header`.
        """
        return [
            [e.name, e.dtype, list(e.shape), e.fortran, e.stype, e.raw, e.nbytes]
            for e in self.entries
        ]

    def views(self, buffer: NDArray) -> list[NDArray]:
        """Return the arrays that lie in a buffer, without copying; raw entries as uint8.

        Parameters
        ----------
        buffer : ndarray
            uint8, one dimension, ``nbytes`` long. The arrays are writable if it is.
        """
        return [
            np.ndarray(shape, dtype, buffer, offset, None, order)
            for shape, dtype, offset, order in self._specs
        ]

    def view(self, buffer: NDArray, position: int) -> NDArray:
        """Return the one array at `position` as `views` would."""
        shape, dtype, offset, order = self._specs[position]
        return np.ndarray(shape, dtype, buffer, offset, None, order)

    def fill(self, buffer: NDArray, arrays: Sequence[NDArray]) -> None:
        """Copy arrays to their places in a buffer.

        Parameters
        ----------
        buffer : ndarray
            uint8, one dimension, ``nbytes`` long, writable.
        arrays : sequence of ndarray
            One for each entry, of its dtype and shape (raw entries: uint8), in any memory order.
        """
        for begin, end in self._gaps:
            buffer[begin:end] = 0
        for vector in self._vectors:
            source = arrays[vector.first : vector.last]
            if vector.flips:
                source = [
                    array.T if flip else array
                    for array, flip in zip(source, vector.flips, strict=True)
                ]
            target = buffer[vector.begin : vector.end].view(vector.dtype)
            np.concatenate(source, axis=None, out=target)
        for position in self._singles:
            self.view(buffer, position)[...] = arrays[position]

    def fill_each(self, buffer: NDArray, arrays: Iterable[NDArray]) -> None:
        """Copy arrays to their places one after the other, so that each may be freed behind us."""
        for begin, end in self._gaps:
            buffer[begin:end] = 0
        for view, array in zip(self.views(buffer), arrays, strict=True):
            view[...] = array


class _Vector(NamedTuple):
    """A run that numpy can fill in one call."""

    begin: int
    end: int
    dtype: np.dtype[Any]
    first: int
    last: int
    flips: list[bool] | None  # which arrays are to be transposed first; None: none


_known: dict[tuple[Any, ...], Layout] = {}  # by what the arrays say of themselves; bounded
_known_arrays = 0
_MOST_KNOWN_ARRAYS = 100_000
_interned: weakref.WeakValueDictionary[tuple[Part, ...], Layout] = weakref.WeakValueDictionary()
_lock = threading.Lock()


def _remember(signature: tuple[Any, ...], layout: Layout) -> None:
    global _known_arrays
    with _lock:
        if _known_arrays > _MOST_KNOWN_ARRAYS:
            _known.clear()
            _known_arrays = 0
        _known[signature] = layout
        _known_arrays += len(layout.entries) + 1


@lru_cache(maxsize=64)
def serialised_nbytes(layout: Layout) -> int:
    """Return the length of the arrays' data with its headers, plus that of the keys."""
    headers = sum(
        len(header(dtype_of(entry.dtype), entry.shape, entry.fortran))
        for entry in layout.entries
        if not entry.raw
    )
    return headers + sum(entry.nbytes + len(entry.name) for entry in layout.entries)


def _placed(parts: tuple[Part, ...]) -> tuple[Entry, ...]:
    offset = 0
    entries = []
    for part in parts:
        alignment = _RAW_ALIGNMENT if part.raw else dtype_of(part.dtype).itemsize or 1
        offset = -(-offset // alignment) * alignment
        entries.append(Entry(*part[:-1], offset, part.nbytes))
        offset += part.nbytes
    if offset > _LARGEST:
        raise ValueError(f"The arrays of a record claim {offset} bytes.")
    return tuple(entries)


def part_of(name: str, array: NDArray) -> Part:
    """Describe a plain array under a key."""
    try:
        dtype = name_of(array.dtype)
    except ValueError as error:
        raise ValueError(f"Array '{name}': {error}") from error
    return Part(name, dtype, array.shape, is_fortran(array), NUMPY_STYPE, False, array.nbytes)


def _spec(entry: Entry) -> tuple[tuple[int, ...], np.dtype[Any], int, Literal["C", "F"]]:
    if entry.raw:
        return (entry.nbytes,), _BYTE, entry.offset, "C"
    return entry.shape, dtype_of(entry.dtype), entry.offset, "F" if entry.fortran else "C"


def _runs(entries: tuple[Entry, ...]) -> Iterator[Run]:
    first = 0
    for (raw, dtype), group in groupby(entries, lambda entry: (entry.raw, entry.dtype)):
        members = list(group)
        last = first + len(members)
        if not raw:
            count = sum(math.prod(entry.shape) for entry in members)
            yield Run(dtype, members[0].offset, count, first, last)
        first = last


def _gaps(entries: tuple[Entry, ...]) -> Iterator[tuple[int, int]]:
    """Yield the bytes that filling in the values may leave as they were: they must not leak."""
    end = 0
    for entry in entries:
        if entry.offset > end:
            yield end, entry.offset
        end = entry.offset + entry.nbytes
        if not entry.raw and dtype_of(entry.dtype).names:  # fields may be apart
            yield entry.offset, end


def _vectors(layout: Layout) -> Iterator[_Vector]:
    """Yield the runs of plain numbers."""
    for run in layout.runs:
        dtype = dtype_of(run.dtype)
        if dtype.kind in "biufc" or is_extension(dtype):
            flips = [entry.fortran for entry in layout.entries[run.first : run.last]]
            end = run.start + run.count * dtype.itemsize
            yield _Vector(run.start, end, dtype, run.first, run.last, flips if any(flips) else None)


def _checked(item: Any) -> Part:
    """Return one array of a header, if all of it can be true."""
    if not isinstance(item, list) or tuple(map(type, item)) != _HEADER_TYPES:
        raise ValueError(f"No description of an array: {reprlib.repr(item)}")
    name, dtype, shape, fortran, stype, raw, size = item
    for length in (*shape, size):
        if type(length) is not int or not 0 <= length <= _LARGEST:
            raise ValueError(f"Array '{name}': impossible shape or size {reprlib.repr(length)}.")
    if not raw:
        if stype != NUMPY_STYPE:
            raise ValueError(f"Array '{name}': only raw data is of another stype.")
        itemsize = dtype_of(dtype).itemsize
        if math.prod(shape) * itemsize != size:
            raise ValueError(f"Array '{name}': {size} bytes do not hold its shape and dtype.")
        # numpy multiplies the other lengths even when one is zero
        if len(shape) > _MOST_DIMENSIONS or (
            not size and math.prod(length or 1 for length in shape) * (itemsize or 1) > _LARGEST
        ):
            raise ValueError(f"Array '{name}': numpy has no such shape.")
    return Part(name, dtype, tuple(shape), fortran, stype, raw, size)
