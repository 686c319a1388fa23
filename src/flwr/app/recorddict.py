"""`RecordDict`: the content of a message, records by name."""

import logging
from collections.abc import ItemsView, Iterator, KeysView, Mapping, MutableMapping, ValuesView
from typing import Generic, Self, TypeAlias, TypeVar

from flwr.app.arrayrecord import ArrayRecord
from flwr.app.keys import plain_text
from flwr.app.typedrecords import ConfigRecord, MetricRecord
from flwr.log import log

Record: TypeAlias = ArrayRecord | MetricRecord | ConfigRecord

_KINDS = (ArrayRecord, MetricRecord, ConfigRecord)
_EXACTLY = frozenset(_KINDS)
_R = TypeVar("_R", bound=Record)
_said: set[str] = set()  # deprecated properties that were pointed out in this process


class RecordDict(MutableMapping[str, Record]):
    """Records of any kind by name: what a message carries, or a context keeps.

    Parameters
    ----------
    records : dict of str to ArrayRecord, MetricRecord or ConfigRecord, optional
        The records, kept as they are.
    parameters_records, metrics_records, configs_records : dict, optional
        Deprecated: more records.

    Raises
    ------
    TypeError
        A key is no text or a value is no record.

    Examples
    --------
    >>> content = RecordDict({"metrics": MetricRecord({"loss": 0.5})})
    >>> content["config"] = ConfigRecord({"lr": 0.1})
    >>> list(content.metric_records)
    ['metrics']
    """

    __slots__ = ("__weakref__", "_data")

    def __init__(
        self,
        records: Mapping[str, Record] | None = None,
        *,
        parameters_records: Mapping[str, ArrayRecord] | None = None,
        metrics_records: Mapping[str, MetricRecord] | None = None,
        configs_records: Mapping[str, ConfigRecord] | None = None,
    ) -> None:
        self._data: dict[str, Record] = {}
        if records is not None:
            self._add(records)
        if not (parameters_records is metrics_records is configs_records is None):
            log(
                logging.WARNING,
                "The arguments `parameters_records`, `metrics_records`, and `configs_records` of "
                "`RecordDict` are deprecated. Please pass all records using the `records` argument "
                "instead.",
            )
            for more in (parameters_records, metrics_records, configs_records):
                self._add(more or {})

    def _add(self, records: Mapping[str, Record]) -> None:
        data = self._data
        for key, value in records.items():
            if type(key) is not str or type(value) not in _EXACTLY:
                key = _checked_key(key, value, _KINDS)  # noqa: PLW2901  # plain, if of a subclass
            data[key] = value

    @property
    def array_records(self) -> "RecordView[ArrayRecord]":
        """The array records: a live view."""
        return RecordView(self, ArrayRecord)

    @property
    def metric_records(self) -> "RecordView[MetricRecord]":
        """The metric records: a live view."""
        return RecordView(self, MetricRecord)

    @property
    def config_records(self) -> "RecordView[ConfigRecord]":
        """The config records: a live view."""
        return RecordView(self, ConfigRecord)

    @property
    def parameters_records(self) -> "RecordView[ArrayRecord]":
        """Deprecated: use `array_records`."""
        _say_deprecated("parameters_records", "array_records")
        return self.array_records

    @property
    def metrics_records(self) -> "RecordView[MetricRecord]":
        """Deprecated: use `metric_records`."""
        _say_deprecated("metrics_records", "metric_records")
        return self.metric_records

    @property
    def configs_records(self) -> "RecordView[ConfigRecord]":
        """Deprecated: use `config_records`."""
        _say_deprecated("configs_records", "config_records")
        return self.config_records

    def __getitem__(self, key: str) -> Record:
        return self._data[key]

    def __setitem__(self, key: str, value: Record) -> None:
        self._data[_checked_key(key, value, _KINDS)] = value

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

    def values(self) -> ValuesView[Record]:
        """Return the records."""
        return self._data.values()

    def items(self) -> ItemsView[str, Record]:
        """Return the names with the records."""
        return self._data.items()

    def popitem(self) -> tuple[str, Record]:
        """Remove and return the last name with its record."""
        return self._data.popitem()

    def clear(self) -> None:
        """Remove everything."""
        self._data.clear()

    def copy(self) -> Self:
        """Return a dict of the same class with the same records."""
        records = type(self).__new__(type(self))
        records._data = self._data.copy()
        return records

    __copy__ = copy

    def __eq__(self, other: object) -> bool:
        if isinstance(other, RecordDict):
            return self._data == other._data
        if isinstance(other, Mapping):
            return self._data == dict(other)
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # it can change

    def __repr__(self) -> str:
        views = ("array_records", "metric_records", "config_records")
        lines = ",\n".join(f"  {view}={getattr(self, view)!r}" for view in views)
        return f"{type(self).__name__}(\n{lines}\n)"


class RecordView(MutableMapping[str, _R], Generic[_R]):
    """The records of one kind in a `RecordDict`: always those of now; changes go through to it."""

    __slots__ = ("_kind", "_records")

    def __init__(self, records: RecordDict, kind: type[_R]) -> None:
        self._records = records
        self._kind = kind

    def __getitem__(self, key: str) -> _R:
        record = self._records._data[key]
        if not isinstance(record, self._kind):
            raise KeyError(key)
        return record

    def __setitem__(self, key: str, value: _R) -> None:
        key = _checked_key(key, value, (self._kind,))
        old = self._records._data.get(key)
        if old is not None and not isinstance(old, self._kind):
            log(
                logging.WARNING,
                "Key '%s' was overwritten: record of type `%s` replaced with type `%s`",
                key,
                type(old).__name__,
                type(value).__name__,
            )
        self._records._data[key] = value

    def __delitem__(self, key: str) -> None:
        self[key]  # a record of another kind is not ours to delete
        del self._records._data[key]

    def __iter__(self) -> Iterator[str]:
        # a list of now: apps change the dict while they walk a view
        return iter(
            [key for key, value in self._records._data.items() if isinstance(value, self._kind)]
        )

    def __len__(self) -> int:
        return sum(isinstance(value, self._kind) for value in self._records._data.values())

    def copy(self) -> dict[str, _R]:
        """Return the records of now."""
        return dict(self)

    def __repr__(self) -> str:
        return repr(dict(self))


def _checked_key(key: object, value: object, kinds: tuple[type, ...]) -> str:
    """Return a key as it is stored, if it and its value may be."""
    if not isinstance(key, str):
        raise TypeError(
            f"Expected `str`, but received `{type(key).__name__}` for the key: {key!r:.60}."
        )
    if not isinstance(value, kinds):
        names = [f"`{kind.__name__}`" for kind in kinds]
        wanted = ", ".join(names[:-1]) + (", or " if names[1:] else "") + names[-1]
        raise TypeError(
            f"Expected {wanted} but received `{type(value).__name__}` for the value. "
            f"The key is '{key}'."
        )
    return plain_text(key)


def _say_deprecated(old: str, new: str) -> None:
    if old not in _said:
        _said.add(old)
        log(
            logging.WARNING,
            "The `%s` property of `RecordDict` (formerly `RecordSet`) is deprecated. Please "
            "use the `%s` property instead.",
            old,
            new,
        )
