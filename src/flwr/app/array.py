"""`Array`: one array as it travels."""

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, overload

import numpy as np

from flwr.app import tensors
from flwr.app.buffers import Backing, opened
from flwr.app.dtypes import dtype_of, name_of, restored
from flwr.app.layout import NUMPY_STYPE, Entry, Layout, Part, part_of
from flwr.app.npy import NDArray, decode, encode, flat_bytes, header, is_fortran

if TYPE_CHECKING:
    import torch

_SHOWN = 16  # bytes of the data in a repr


class Place:
    """The place of one array of a packed record, opened at each use."""

    __slots__ = ("backing", "layout", "position")

    def __init__(self, layout: Layout, backing: Backing, position: int) -> None:
        self.layout = layout
        self.backing = backing
        self.position = position

    @property
    def entry(self) -> Entry:
        """What lies there."""
        return self.layout.entries[self.position]

    def view(self) -> NDArray | memoryview:
        """Return the values, or the verbatim data of a raw entry."""
        view = self.layout.view(opened(self.backing), self.position)
        return view.data if self.entry.raw else view


# What an Array holds: values (read-only, contiguous) or serialised data, here or in a backing.
Held: TypeAlias = NDArray | bytes | memoryview | Place


class Shape(tuple[int, ...]):
    """A shape: a tuple that also equals a list of the same lengths, as version 1.18 gave them."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return tuple.__eq__(self, tuple(other) if isinstance(other, list) else other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = tuple.__hash__


@dataclass(init=False, repr=False, eq=False)
class Array:
    """One array with its dtype and shape, as a snapshot of what it was given.

    Parameters
    ----------
    ndarray : numpy.ndarray, optional
        Its values are copied. The first positional argument may be one.
    torch_tensor : torch.Tensor, optional
        Likewise, from any device. bfloat16 and float8 are kept.
    dtype : str, optional
        With `shape`, `stype` and `data`, and only with all of them: the four values as they are.
    shape : tuple or list of int, optional
        See `dtype`.
    stype : str, optional
        How `data` is serialised; ``"numpy.ndarray"`` is the .npy format.
    data : bytes, optional
        The serialised array.

    Raises
    ------
    TypeError
        The arguments are none of the above forms.
    ValueError
        The array holds Python objects.

    Examples
    --------
    >>> import numpy as np
    >>> array = Array(np.arange(3.0))
    >>> array.dtype, array.shape
    ('float64', (3,))
    >>> array.numpy()
    array([0., 1., 2.])
    """

    dtype: str
    shape: tuple[int, ...]
    stype: str
    data: bytes

    @overload
    def __init__(self, ndarray: NDArray, /) -> None: ...
    @overload
    def __init__(self, torch_tensor: "torch.Tensor", /) -> None: ...
    @overload
    def __init__(self, *, ndarray: NDArray) -> None: ...
    @overload
    def __init__(self, *, torch_tensor: "torch.Tensor") -> None: ...
    @overload
    def __init__(
        self, dtype: str, shape: tuple[int, ...] | list[int], stype: str, data: bytes
    ) -> None: ...

    def __init__(
        self,
        *args: Any,
        dtype: str | None = None,
        shape: tuple[int, ...] | list[int] | None = None,
        stype: str | None = None,
        data: bytes | None = None,
        ndarray: NDArray | None = None,
        torch_tensor: "torch.Tensor | None" = None,
    ) -> None:
        named = (dtype, shape, stype, data)
        four = (*args, *named[len(args) :])
        one = [*args, *(given for given in (ndarray, torch_tensor) if given is not None)]
        if len(four) == 4 and all(value is not None for value in four):
            if _any_given(named[: len(args)]) or len(one) != len(args):
                raise _invalid("")
            self._take_four(*four)
        elif len(one) != 1 or _any_given(named):
            raise _invalid("")
        elif isinstance(one[0], np.ndarray) and torch_tensor is None:
            self._take_values(_snapshot(one[0]))
        elif tensors.is_tensor(one[0]) and ndarray is None:
            self._take_values(_snapshot(tensors.to_ndarray(one[0])))
        else:
            raise _invalid(f" Received {_described(one[0])}.")

    def _take_four(self, dtype: Any, shape: Any, stype: Any, data: Any) -> None:
        if not (isinstance(dtype, str) and isinstance(stype, str) and isinstance(data, bytes)):
            raise _invalid(
                f" Received a dtype of type {type(dtype).__name__}, an stype of type "
                f"{type(stype).__name__} and data of type {type(data).__name__}."
            )
        if not isinstance(shape, (tuple, list)):
            raise _invalid(f" Received a shape of type {type(shape).__name__}.")
        try:
            lengths = tuple(map(operator.index, shape))
        except TypeError as error:
            raise _invalid(f" Received the shape {shape!r}.") from error
        self.dtype, self._shape, self.stype = dtype, lengths, stype
        self._held: Held = data

    def _take_values(self, values: NDArray) -> None:
        self.dtype = name_of(values.dtype)
        self._shape = values.shape
        self.stype = NUMPY_STYPE
        self._held = values

    @classmethod
    def from_numpy_ndarray(cls, ndarray: NDArray) -> "Array":
        """Return an Array with a copy of an ndarray's values."""
        return cls(ndarray=ndarray)

    @classmethod
    def from_torch_tensor(cls, tensor: "torch.Tensor") -> "Array":
        """Return an Array with a copy of a tensor's values."""
        return cls(torch_tensor=tensor)

    def numpy(self) -> NDArray:
        """Return the values as a new, writable ndarray, in their memory order.

        Raises
        ------
        TypeError
            The data is not in the .npy format (another ``stype``).
        ValueError
            The data is malformed, or holds Python objects.
        """
        return values_of(self).copy(order="A")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Array):
            return NotImplemented
        if (self.dtype, self._shape, self.stype) != (other.dtype, other._shape, other.stype):
            return False
        mine, others = _viewed(self), _viewed(other)
        if isinstance(mine, np.ndarray) and isinstance(others, np.ndarray):
            same_form = (mine.dtype, mine.shape, is_fortran(mine)) == (
                others.dtype,
                others.shape,
                is_fortran(others),
            )
            return same_form and np.array_equal(flat_bytes(mine), flat_bytes(others))
        return self.data == other.data

    __hash__ = None  # type: ignore[assignment]  # it can change, as the mappings it lies in can

    def __repr__(self) -> str:
        held = _viewed(self)
        start = _header_of(held) if isinstance(held, np.ndarray) else bytes(held[:_SHOWN])
        size = data_nbytes(self)
        shown = repr(start[:_SHOWN]) + (f"... ({size} bytes)" if size > _SHOWN else "")
        return (
            f"Array(dtype={self.dtype!r}, shape={self._shape!r}, stype={self.stype!r}, "
            f"data={shown})"
        )

    def __copy__(self) -> "Array":
        return array_over(self.dtype, self._shape, self.stype, self._held)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Array":
        return self.__copy__()  # what it holds never changes

    def __reduce__(self) -> tuple[Any, ...]:
        return Array, (self.dtype, self._shape, self.stype, self.data)


def _get_shape(array: Array) -> Shape:
    return Shape(array._shape)


def _set_shape(array: Array, shape: Iterable[int]) -> None:
    array._shape = tuple(shape)


def _get_data(array: Array) -> bytes:
    held = _viewed(array)
    if isinstance(held, np.ndarray):
        return encode(held)
    return bytes(held) if isinstance(held, memoryview) else held


def _set_data(array: Array, data: bytes) -> None:
    array._held = data


# Fields of a dataclass that are computed: set after the decorator has seen the class.
Array.shape = property(_get_shape, _set_shape)  # type: ignore[assignment]  # for its users a tuple
Array.data = property(_get_data, _set_data)  # type: ignore[assignment]  # and bytes


def _any_given(values: tuple[object, ...]) -> bool:
    return any(value is not None for value in values)


def _invalid(reason: str) -> TypeError:
    return TypeError(
        "Invalid arguments for Array. Expected either a PyTorch tensor, a NumPy ndarray, or "
        f"explicit dtype/shape/stype/data values.{reason}"
    )


def _described(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")


def _snapshot(ndarray: NDArray) -> NDArray:
    """Copy values into memory of their own, contiguous and read-only."""
    dtype = dtype_of(name_of(ndarray.dtype))
    if dtype.names:  # what lies between fields must not leave this process
        values: NDArray = np.zeros(ndarray.shape, dtype, "F" if is_fortran(ndarray) else "C")
        values[...] = ndarray
    else:
        values = np.array(ndarray, dtype, copy=True, order="A", subok=False)
    values.setflags(write=False)
    return values


def _viewed(array: Array) -> NDArray | bytes | memoryview:
    held = array._held
    return held.view() if isinstance(held, Place) else held


def _header_of(values: NDArray) -> bytes:
    return header(values.dtype, values.shape, is_fortran(values))


# What the rest of the room knows of an Array's inside.


def array_over(dtype: str, shape: tuple[int, ...], stype: str, held: Held) -> Array:
    """Return an Array over something held, without copying."""
    array = Array.__new__(Array)
    array.dtype, array._shape, array.stype, array._held = dtype, shape, stype, held
    return array


def hold(array: Array, held: Held) -> None:
    """Let an Array hold the same content in another place."""
    array._held = held


def is_unchanged(array: Array, held: Held, entry: Entry) -> bool:
    """Whether an Array still holds what it held when it was made for an entry."""
    return (
        array._held is held
        and array.dtype == entry.dtype
        and array._shape == entry.shape
        and array.stype == entry.stype
    )


def values_of(array: Array) -> NDArray:
    """Return the values of an Array, read-only and without copying; errors as `Array.numpy`."""
    if array.stype != NUMPY_STYPE:
        raise TypeError(f"Unsupported serialization type for numpy conversion: '{array.stype}'")
    held = _viewed(array)
    values = held if isinstance(held, np.ndarray) else decode(held)
    return restored(values, array.dtype)


def data_nbytes(array: Array) -> int:
    """Return the length of an Array's data without serialising it."""
    held = array._held
    if isinstance(held, Place):
        entry = held.entry
        if entry.raw:
            return entry.nbytes
        return len(header(dtype_of(entry.dtype), entry.shape, entry.fortran)) + entry.nbytes
    if isinstance(held, np.ndarray):
        return len(_header_of(held)) + held.nbytes
    return len(held)


def part_of_array(name: str, array: Array) -> Part:
    """Describe an Array under a key: its values if it is plain, else its data as it is.

    Raises
    ------
    TypeError
        A field of the Array was set to something that cannot be sent.
    """
    held = array._held
    plain = None
    if isinstance(held, np.ndarray):
        plain = part_of(name, held)
    elif isinstance(held, Place) and not held.entry.raw:
        e = held.entry
        plain = Part(name, e.dtype, e.shape, e.fortran, e.stype, False, e.nbytes)
    if plain and (plain.dtype, plain.shape, plain.stype) == (
        array.dtype,
        array._shape,
        array.stype,
    ):
        return plain
    for field, value, kind in (
        ("dtype", array.dtype, str),
        ("stype", array.stype, str),
        ("data", array.data, bytes),
    ):
        if not isinstance(value, kind):
            raise TypeError(
                f"Array '{name}': its {field} must be {kind.__name__}, not {type(value).__name__}."
            )
    if not all(isinstance(length, int) and length >= 0 for length in array._shape):
        raise TypeError(f"Array '{name}': its shape must hold lengths, not {array._shape!r}.")
    return Part(name, array.dtype, array._shape, False, array.stype, True, data_nbytes(array))


def content_of(array: Array, part: Part) -> NDArray:
    """Return what `part` describes: the values, or the data as uint8."""
    if not part.raw:
        values = _viewed(array)
        assert isinstance(values, np.ndarray)
        return values
    return np.frombuffer(array.data, np.uint8)
