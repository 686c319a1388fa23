"""`ArrayRecord`: the arrays of a model, by name.

A record is in one of two states. *Packed*: a layout, and a backing that holds all the bytes;
`Array` objects are made when somebody asks for them. *Loose*: `Array` objects only. Packing a
loose record copies its arrays once into one run of bytes. A packed record whose `Array` objects
were handed out stays packed as long as none of them was changed, which is checked when it matters.
"""

from collections import OrderedDict
from collections.abc import (
    ItemsView,
    Iterator,
    KeysView,
    Mapping,
    MutableMapping,
    ValuesView,
)
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

import numpy as np

from flwr.app import tensors
from flwr.app.array import (
    Array,
    Held,
    Place,
    array_over,
    content_of,
    data_nbytes,
    hold,
    is_unchanged,
    part_of_array,
    values_of,
)
from flwr.app.buffers import Backing, allocate, opened
from flwr.app.dtypes import restored
from flwr.app.keys import plain_key
from flwr.app.layout import NUMPY_STYPE, Layout, serialised_nbytes
from flwr.app.npy import NDArray, decode, flat_bytes

if TYPE_CHECKING:
    import torch

_COPIED_WHOLE = 1024 * 1024  # bytes up to which a model is copied in one piece
_PLAIN = {np.ndarray}
_T = TypeVar("_T")


class ArrayRecord(MutableMapping[str, Array]):
    """The arrays of a model by name, in order; a snapshot of what it was given.

    Parameters
    ----------
    numpy_ndarrays : list of numpy.ndarray, optional
        Copied under the keys ``"0"``, ``"1"``, ...
    torch_state_dict : dict of str to torch.Tensor, optional
        Copied under its own keys.
    array_dict : dict of str to Array, optional
        Taken under its own keys; the bytes are shared, the `Array` objects are the record's own.
    keep_input : bool, default True
        With False, what was given is emptied on the way, to save memory.

    One of the three may also be the only positional argument.

    Raises
    ------
    TypeError
        The arguments are none of these.
    ValueError
        An array holds Python objects.

    Examples
    --------
    >>> import numpy as np
    >>> record = ArrayRecord([np.zeros((2, 2)), np.ones(2)])
    >>> list(record)
    ['0', '1']
    >>> record["1"].numpy()
    array([1., 1.])
    """

    __slots__ = ("__weakref__", "_arrays", "_backing", "_held", "_layout")

    _arrays: dict[str, Array] | None  # handed out, or the only content of a loose record
    _layout: Layout | None  # None: not known since the last change
    _backing: Backing | NDArray | None  # None: loose
    _held: list[Held]  # by the arrays handed out, when the layout was made

    @overload
    def __init__(self) -> None: ...
    @overload
    def __init__(self, numpy_ndarrays: list[NDArray], *, keep_input: bool = True) -> None: ...
    @overload
    def __init__(
        self, torch_state_dict: "dict[str, torch.Tensor]", *, keep_input: bool = True
    ) -> None: ...
    @overload
    def __init__(self, array_dict: dict[str, Array], *, keep_input: bool = True) -> None: ...
    @overload
    def __init__(self, nothing: None, /, *, keep_input: bool = True) -> None: ...

    def __init__(
        self,
        *args: Any,
        numpy_ndarrays: list[NDArray] | None = None,
        torch_state_dict: "dict[str, torch.Tensor] | None" = None,
        array_dict: dict[str, Array] | None = None,
        keep_input: bool = True,
    ) -> None:
        keywords = (numpy_ndarrays, torch_state_dict, array_dict)
        sources = [*args, *(given for given in keywords if given is not None)]
        if len(sources) > 1:
            raise _invalid(f"{len(sources)} arguments were given.")
        source = sources[0] if sources else None
        if isinstance(source, list) and (args or numpy_ndarrays is not None):
            self._take_ndarrays(source, keep_input)
        elif source is None:
            self._take_arrays({}, keep_input)
        elif not isinstance(source, dict) or numpy_ndarrays is not None:
            raise _invalid(f"A value of type {type(source).__name__} was given.")
        elif torch_state_dict is None and isinstance(next(iter(source.values()), None), Array):
            self._take_arrays(source, keep_input)
        elif source and array_dict is not None:
            raise _invalid("`array_dict` holds something else than `Array` objects.")
        else:
            self._take_tensors(source, keep_input)

    def _take_ndarrays(self, ndarrays: list[NDArray], keep_input: bool) -> None:
        arrays = list(ndarrays)
        if {*map(type, arrays)} != _PLAIN:
            for index, array in enumerate(arrays):
                if not isinstance(array, np.ndarray):
                    raise _invalid(
                        f"Element {index} of the list is of type {type(array).__name__}."
                    )
                arrays[index] = np.asarray(array)  # a matrix or masked array counts as its values
        layout = Layout.of(_numbered(len(arrays)), arrays)
        buffer = allocate(layout.nbytes)
        if keep_input:
            layout.fill(buffer, arrays)
        else:
            ndarrays.clear()
            layout.fill_each(buffer, _letting_go(arrays))
        self._take_packed(layout, buffer)

    def _take_tensors(self, state_dict: "dict[str, torch.Tensor]", keep_input: bool) -> None:
        names = tuple(map(plain_key, state_dict))
        for name, tensor in state_dict.items():
            if not tensors.is_tensor(tensor):
                raise _invalid(f"The value of '{name}' is of type {type(tensor).__name__}.")
        values = list(state_dict.values())
        on_cpu = all(tensor.is_cpu for tensor in values)
        view = tensors.to_ndarray if on_cpu else tensors.outline
        arrays = [view(tensor) for tensor in values]
        layout = Layout.of(names, arrays)
        buffer = allocate(layout.nbytes)
        if keep_input and on_cpu:
            layout.fill(buffer, arrays)
        else:  # one at a time: what comes from a device, or is let go, must not pile up
            del arrays
            if not keep_input:
                state_dict.clear()
            layout.fill_each(buffer, map(tensors.to_ndarray, _letting_go(values)))
        self._take_packed(layout, buffer)

    def _take_packed(self, layout: Layout, backing: Backing | NDArray) -> None:
        if isinstance(backing, np.ndarray):
            backing.setflags(write=False)
        self._arrays, self._layout, self._backing, self._held = None, layout, backing, []

    def _take_arrays(self, arrays: dict[str, Array], keep_input: bool) -> None:
        taken = {plain_key(name): array for name, array in arrays.items()}
        for name, array in taken.items():
            if not isinstance(array, Array):
                raise _invalid(f"The value of '{name}' is of type {type(array).__name__}.")
            if keep_input:
                taken[name] = array.__copy__()
        if not keep_input:
            arrays.clear()
        self._arrays = taken
        self._layout, self._backing, self._held = None, None, []

    # The mapping.

    def __getitem__(self, key: str) -> Array:
        return self._handed_out()[key]

    def __setitem__(self, key: str, value: Array) -> None:
        key = plain_key(key)
        if not isinstance(value, Array):
            raise TypeError(
                f"Value must be of type `{Array}` but `{type(value)}` was passed for key '{key}'. "
                "Use `Array(value)` for a NumPy ndarray or a PyTorch tensor."
            )
        self._loosened()[key] = value

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        del self._loosened()[key]

    def __contains__(self, key: object) -> bool:
        return key in self._names()

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def keys(self) -> KeysView[str]:
        """Return the names."""
        return self._handed_out().keys()

    def values(self) -> ValuesView[Array]:
        """Return the arrays."""
        return self._handed_out().values()

    def items(self) -> ItemsView[str, Array]:
        """Return the names with the arrays."""
        return self._handed_out().items()

    def popitem(self) -> tuple[str, Array]:
        """Remove and return the last name with its array."""
        return self._loosened().popitem()

    def clear(self) -> None:
        """Remove everything."""
        self._take_arrays({}, keep_input=True)

    def copy(self) -> Self:
        """Return a record of the same class with the same arrays."""
        record = type(self).__new__(type(self))
        record._arrays = None if self._arrays is None else self._arrays.copy()
        record._layout, record._backing = self._layout, self._backing
        record._held = self._held
        return record

    def __copy__(self) -> Self:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        record = self.copy()  # the bytes never change; only `Array` objects can
        if record._arrays is not None:
            record._arrays = {name: array.__copy__() for name, array in record._arrays.items()}
        return record

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), layout_of(self).header(), packed(self))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mapping):
            return NotImplemented
        if self is other:
            return True
        return len(self) == len(other) and dict(self.items()) == dict(other.items())

    __hash__ = None  # type: ignore[assignment]  # it can change

    def __repr__(self) -> str:
        return repr(self._handed_out())

    # Conversions.

    @classmethod
    def from_numpy_ndarrays(cls, ndarrays: list[NDArray], *, keep_input: bool = True) -> Self:
        """Return a record of copies of ndarrays, under the keys ``"0"``, ``"1"``, ..."""
        return cls(numpy_ndarrays=ndarrays, keep_input=keep_input)

    @classmethod
    def from_torch_state_dict(
        cls, state_dict: "dict[str, torch.Tensor]", *, keep_input: bool = True
    ) -> Self:
        """Return a record of copies of a state dict's tensors."""
        return cls(torch_state_dict=state_dict, keep_input=keep_input)

    @classmethod
    def from_array_dict(cls, array_dict: dict[str, Array], *, keep_input: bool = True) -> Self:
        """Return a record of the given arrays."""
        return cls(array_dict=array_dict, keep_input=keep_input)

    def to_numpy_ndarrays(self, *, keep_input: bool = True) -> list[NDArray]:
        """Return the values as new, writable ndarrays, in record order.

        Parameters
        ----------
        keep_input : bool, default True
            With False the record is empty afterwards.

        Raises
        ------
        TypeError
            An array's data is not in the .npy format.
        """
        layout = self._intact_layout()
        if layout is not None and layout.nbytes <= _COPIED_WHOLE and not layout.has_raw:
            assert self._backing is not None
            arrays = layout.views(opened(self._backing).copy())
        else:
            arrays = [view.copy(order="A") for view in views(self)]
        if not keep_input:
            self.clear()
        return arrays

    def to_torch_state_dict(self, *, keep_input: bool = True) -> "OrderedDict[str, torch.Tensor]":
        """Return the values as new tensors that need no gradient, in record order.

        Parameters
        ----------
        keep_input : bool, default True
            With False the record is empty afterwards.

        Raises
        ------
        RuntimeError
            PyTorch is not installed.
        TypeError
            An array has no counterpart in PyTorch.
        """
        arrays = zip(list(self), self.to_numpy_ndarrays(), strict=True)
        state_dict = OrderedDict((name, tensors.to_tensor(array)) for name, array in arrays)
        if not keep_input:
            self.clear()
        return state_dict

    def count_bytes(self) -> int:
        """Return the length of all serialised arrays (with their headers) and of the keys."""
        layout = self._intact_layout()
        if layout is not None:
            return serialised_nbytes(layout)
        return sum(len(name) + data_nbytes(array) for name, array in self.items())

    # The inside.

    def _names(self) -> Mapping[str, object]:
        if self._arrays is not None:
            return self._arrays
        assert self._layout is not None
        return self._layout.index

    def _handed_out(self) -> dict[str, Array]:
        """Return the `Array` objects; a packed record makes them now."""
        if self._arrays is None:
            layout = self._layout
            assert layout is not None
            self._held = self._places()
            self._arrays = {
                entry.name: array_over(entry.dtype, entry.shape, entry.stype, held)
                for entry, held in zip(layout.entries, self._held, strict=True)
            }
        return self._arrays

    def _places(self) -> list[Held]:
        """Return what the `Array` objects of a packed record hold; nothing opened is kept."""
        layout, backing = self._layout, self._backing
        assert layout is not None
        assert backing is not None
        if not isinstance(backing, np.ndarray):
            return [Place(layout, backing, position) for position in range(len(layout.entries))]
        views = layout.views(backing)
        if not layout.has_raw:
            return list(views)
        return [
            view.data if entry.raw else view
            for entry, view in zip(layout.entries, views, strict=True)
        ]

    def _loosened(self) -> dict[str, Array]:
        """Return the `Array` objects, which are from now on the only content."""
        arrays = self._handed_out()
        self._layout = self._backing = None
        return arrays

    def _intact_layout(self) -> Layout | None:
        """Return the layout if the record is packed and none of its arrays was changed."""
        layout, arrays = self._layout, self._arrays
        if arrays is None or layout is None:
            return layout
        for array, held, entry in zip(arrays.values(), self._held, layout.entries, strict=True):
            if not is_unchanged(array, held, entry):
                self._layout = self._backing = None
                return None
        return layout

    def _pack(self) -> None:
        """Copy the arrays of a loose record into one run of bytes."""
        arrays = self._handed_out()
        parts = [part_of_array(name, array) for name, array in arrays.items()]
        layout = Layout.of_parts(parts)
        buffer = allocate(layout.nbytes)
        layout.fill(buffer, [content_of(a, p) for a, p in zip(arrays.values(), parts, strict=True)])
        buffer.setflags(write=False)
        self._layout = layout
        self._move(buffer)

    def _move(self, backing: Backing | NDArray) -> None:
        """Take other memory with the same bytes; arrays handed out follow, so the old is freed."""
        self._backing = backing
        if self._arrays is not None:
            self._held = self._places()
            for array, held in zip(self._arrays.values(), self._held, strict=True):
                hold(array, held)


def _invalid(reason: str) -> TypeError:
    return TypeError(
        "Invalid arguments for ArrayRecord. Expected either a list of NumPy ndarrays, a PyTorch "
        "state_dict, or a dictionary of Arrays. The `keep_input` argument is keyword-only. "
        + reason
    )


@lru_cache(maxsize=64)
def _numbered(count: int) -> tuple[str, ...]:
    return tuple(map(str, range(count)))


def _letting_go(items: list[_T]) -> Iterator[_T]:
    items.reverse()
    while items:
        yield items.pop()


def _restored(cls: type[ArrayRecord], layout: list[Any], buffer: NDArray) -> ArrayRecord:
    record = cls.__new__(cls)
    record._take_packed(Layout.from_header(layout), buffer)
    return record


# The doorway for other rooms; `flwr.app.memory` tells what each of these promises.


def adopt(layout: Layout, backing: Backing | NDArray) -> ArrayRecord:
    """Return a record over bytes that lie in memory already, without copying."""
    record = ArrayRecord.__new__(ArrayRecord)
    record._take_packed(layout, backing)
    return record


def is_packed(record: ArrayRecord) -> bool:
    """Whether all arrays lie in one run of bytes."""
    return record._intact_layout() is not None


def backing_of(record: ArrayRecord) -> Backing | NDArray | None:
    """Return where the bytes of a packed record lie, and None for a loose one."""
    return record._backing if record._intact_layout() is not None else None


def layout_of(record: ArrayRecord) -> Layout:
    """Return how the arrays lie, or would lie."""
    layout = record._intact_layout()
    if layout is None:
        layout = Layout.of_parts([part_of_array(name, array) for name, array in record.items()])
    return layout


def packed(record: ArrayRecord) -> NDArray:
    """Return all arrays as one run of bytes."""
    if record._intact_layout() is None:
        record._pack()
    assert record._backing is not None
    return opened(record._backing)


def rebase(record: ArrayRecord, backing: Backing | NDArray) -> None:
    """Let a packed record use other memory that holds the same bytes."""
    if record._intact_layout() is None:
        raise ValueError("Only a packed record can change its memory.")
    record._move(backing)


def views(record: ArrayRecord) -> list[NDArray]:
    """Return the values without copying, in record order."""
    layout = record._intact_layout()
    if layout is None:
        return [values_of(array) for array in record.values()]
    assert record._backing is not None
    arrays = layout.views(opened(record._backing))
    if layout.has_raw:
        for position, entry in enumerate(layout.entries):
            if entry.raw:
                if entry.stype != NUMPY_STYPE:
                    raise TypeError(
                        f"Array '{entry.name}': Unsupported serialization type for numpy "
                        f"conversion: '{entry.stype}'"
                    )
                arrays[position] = restored(decode(arrays[position].data), entry.dtype)
    return arrays


def frames(record: ArrayRecord) -> list[NDArray]:
    """Return the bytes of each array, without copying where they lie in memory already."""
    layout = record._intact_layout()
    if layout is None:
        parts = [part_of_array(name, array) for name, array in record.items()]
        return [
            flat_bytes(content_of(array, part))
            for array, part in zip(record.values(), parts, strict=True)
        ]
    assert record._backing is not None
    buffer = opened(record._backing)
    return [buffer[entry.offset : entry.offset + entry.nbytes] for entry in layout.entries]
