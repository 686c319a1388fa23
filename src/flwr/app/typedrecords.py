"""`MetricRecord` and `ConfigRecord`: numbers, texts and lists of them, by name."""

from collections.abc import (
    Callable,
    ItemsView,
    Iterator,
    KeysView,
    Mapping,
    MutableMapping,
    ValuesView,
)
from typing import Any, ClassVar, Generic, Protocol, Self, TypeAlias, TypeVar

import numpy as np

from flwr.app.keys import plain_key, plain_text

MetricScalar: TypeAlias = int | float
MetricScalarList: TypeAlias = list[int] | list[float]
MetricRecordValues: TypeAlias = MetricScalar | MetricScalarList

ConfigScalar: TypeAlias = int | float | str | bytes | bool
ConfigScalarList: TypeAlias = list[int] | list[float] | list[str] | list[bytes] | list[bool]
ConfigRecordValues: TypeAlias = ConfigScalar | ConfigScalarList

_V = TypeVar("_V")
_V_co = TypeVar("_V_co", covariant=True)


class _Items(Protocol[_V_co]):
    """What a record can be made of: a dict or another record."""

    def keys(self) -> KeysView[str]: ...
    def __getitem__(self, key: str, /) -> _V_co: ...


class TypedRecord(MutableMapping[str, _V], Generic[_V]):
    """A mapping that checks its values; the base of the two."""

    __slots__ = ("__weakref__", "_data")

    _scalars: ClassVar[frozenset[type]]
    _scalar_names: ClassVar[str]
    _expected: ClassVar[str]

    def __init__(self, given: Any, keep_input: bool) -> None:
        data: dict[str, Any] = {}
        if given is not None:
            scalars = self._scalars
            for key in given.keys():  # noqa: SIM118  # a list of pairs must fail here
                value = given[key]
                if type(key) is not str:
                    key = plain_key(key)  # noqa: PLW2901
                data[key] = value if type(value) in scalars else self._checked(key, value)
            if not keep_input:
                given.clear()
        self._data: dict[str, _V] = data

    def __getitem__(self, key: str) -> _V:
        return self._data[key]

    def __setitem__(self, key: str, value: _V) -> None:
        key = plain_key(key)
        self._data[key] = value if type(value) in self._scalars else self._checked(key, value)

    def __delitem__(self, key: str) -> None:
        del self._data[key]

    def __contains__(self, key: object) -> bool:
        return key in self._data

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)

    def keys(self) -> KeysView[str]:
        """Return the names."""
        return self._data.keys()

    def values(self) -> ValuesView[_V]:
        """Return the values."""
        return self._data.values()

    def items(self) -> ItemsView[str, _V]:
        """Return the names with the values."""
        return self._data.items()

    def popitem(self) -> tuple[str, _V]:
        """Remove and return the last name with its value."""
        return self._data.popitem()

    def clear(self) -> None:
        """Remove everything."""
        self._data.clear()

    def copy(self) -> Self:
        """Return a record of the same class with the same values; lists are shared."""
        record = type(self).__new__(type(self))
        record._data = self._data.copy()
        return record

    __copy__ = copy

    def __eq__(self, other: object) -> bool:
        if isinstance(other, TypedRecord):
            return self._data == other._data
        if isinstance(other, Mapping):
            return self._data == dict(other)
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # it can change

    def __repr__(self) -> str:
        return repr(self._data)

    def _checked(self, key: str, value: object) -> Any:
        """Return a value as it is stored: numpy's scalars and subclasses as plain Python."""
        plain = _plain(value)
        if type(plain) in self._scalars:
            return plain
        if not isinstance(value, list):
            raise TypeError(
                f"Not all values are of valid type. Expected `{self._expected}` but "
                f"`{type(value)}` was passed for key '{key}': {_advice(value)}."
            )
        kinds = {*map(type, value)}
        if len(kinds) <= 1 and kinds <= self._scalars:
            return value
        values = [_plain(element) for element in value]
        kinds = {*map(type, values)}
        if len(kinds) == 1 and kinds <= self._scalars:
            return values
        raise TypeError(
            "All values in a list must be of the same valid type. One of "
            f"{self._scalar_names}. The list of key '{key}' holds "
            f"{', '.join(sorted({type(element).__name__ for element in value}))}."
        )


# What to do with a value that is refused, by its type.
_ADVICE: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "pass `int(value)`, or use a `ConfigRecord`"),
    ((str, bytes), "pass `float(value)`, or use a `ConfigRecord` for text"),
    (bytearray, "pass `bytes(value)`"),
    ((tuple, set, frozenset, range), "pass `list(value)`"),
    (Mapping, "records are flat: give each value a key of its own"),
    (type(None), "leave the key out"),
)


def _advice(value: object) -> str:
    """Return what to do about a value that is refused."""
    if hasattr(value, "tolist") and hasattr(value, "item"):  # arrays and tensors of any library
        if getattr(value, "ndim", None) == 0:
            return "pass `value.item()`"
        return "pass `value.tolist()`, or send it as an `Array` in an `ArrayRecord`"
    for kinds, advice in _ADVICE:
        if isinstance(value, kinds):
            return advice
    return "pass one of the types above"


class MetricRecord(TypedRecord[MetricRecordValues]):
    """Numbers, and lists of numbers, by name.

    Parameters
    ----------
    metric_dict : dict of str to int, float, list of int or list of float, optional
        The values. numpy's scalars are converted. Lists are shared with the caller.
    keep_input : bool, default True
        With False the dict is emptied.

    Raises
    ------
    TypeError
        A key is no text or a value is of another type; the message names the key.

    Examples
    --------
    >>> record = MetricRecord({"loss": 0.5})
    >>> record["num-examples"] = 100
    >>> record
    {'loss': 0.5, 'num-examples': 100}
    """

    __slots__ = ()

    _scalars = frozenset({int, float})
    _scalar_names = "int | float"
    _expected = "int | float | list[int] | list[float]"

    def __init__(
        self, metric_dict: _Items[MetricRecordValues] | None = None, keep_input: bool = True
    ) -> None:
        super().__init__(metric_dict, keep_input)

    def count_bytes(self) -> int:
        """Return 8 for each number plus the length of the keys in characters."""
        return sum(
            len(key) + (8 * len(value) if isinstance(value, list) else 8)
            for key, value in self._data.items()
        )


class ConfigRecord(TypedRecord[ConfigRecordValues]):
    """Settings and other small values, and lists of one kind of them, by name.

    Parameters
    ----------
    config_dict : dict of str to int, float, str, bytes, bool or a list of one of these, optional
        The values. numpy's scalars are converted. Lists are shared with the caller.
    keep_input : bool, default True
        With False the dict is emptied.

    Raises
    ------
    TypeError
        A key is no text or a value is of another type; the message names the key.

    Examples
    --------
    >>> ConfigRecord({"lr": 0.1, "layers": ["conv", "dense"]})
    {'lr': 0.1, 'layers': ['conv', 'dense']}
    """

    __slots__ = ()

    _scalars = frozenset({int, float, str, bytes, bool})
    _scalar_names = "int | float | str | bytes | bool"
    _expected = (
        "int | float | str | bytes | bool | list[int] | list[float] | list[str] | list[bytes] | "
        "list[bool]"
    )

    def __init__(
        self, config_dict: _Items[ConfigRecordValues] | None = None, keep_input: bool = True
    ) -> None:
        super().__init__(config_dict, keep_input)

    def count_bytes(self) -> int:
        """Return 8 a number, 1 a bool, the length of texts and bytes; plus that of the keys."""
        total = 0
        for key, value in self._data.items():
            values = value if isinstance(value, list) else [value]
            total += len(key) + sum(map(_scalar_nbytes, values))
        return total


def _scalar_nbytes(value: ConfigScalar) -> int:
    if isinstance(value, (str, bytes)):
        return len(value)
    return 1 if isinstance(value, bool) else 8


def _plain(value: object) -> object:
    """Return numpy's scalars and instances of subclasses as plain Python, others as they are."""
    for kinds, kind in _PLAIN_KINDS:
        if isinstance(value, kinds):
            return value if isinstance(value, np.timedelta64) else kind(value)
    return value


_PLAIN_KINDS: tuple[tuple[tuple[type, ...], Callable[[Any], object]], ...] = (
    ((bool, np.bool_), bool),
    ((int, np.integer), int),
    ((float, np.floating), float),
    ((str,), plain_text),
    ((bytes,), bytes),
)
