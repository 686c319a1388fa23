"""What a checkpoint holds: a state as plain data and arrays, and the random generators."""

import random
import sys
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict, memory
from flwr.app.layout import Layout
from flwr.errors import ParcelError

_TREE = "tree"
_SMALLEST, _LARGEST = -(2**63), 2**64 - 1  # msgpack's integers

# What stands for a value that msgpack has no form for: a list of a tag and of what is needed.
_LIST, _TUPLE, _DICT, _INTEGER = "l", "t", "d", "i"
_ARRAY, _SCALAR, _RECORD, _RECORDS = "n", "s", "r", "R"

Array = np.ndarray[Any, np.dtype[Any]]


def encode_state(state: Mapping[str, Any]) -> RecordDict:
    """Turn a state into a content. Its arrays are not copied.

    Parameters
    ----------
    state : mapping
        Numbers, texts, bytes, None, lists, tuples and dicts of them, ndarrays and records.

    Raises
    ------
    TypeError
        If it holds something else; says where.
    """
    encoder = _Encoder()
    tree = encoder.encode(dict(state), ())
    records = encoder.records
    packed = msgspec.msgpack.encode(tree)
    return RecordDict({_TREE: ConfigRecord({_TREE: packed}), **records})


def decode_state(content: RecordDict) -> dict[str, Any]:
    """Turn what `encode_state` made into the state. Its ndarrays are writable.

    Raises
    ------
    ParcelError
        If it was not made so.
    """
    try:
        packed: Any = content[_TREE][_TREE]
        tree = msgspec.msgpack.decode(packed)
        state = _decode(tree, content)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise ParcelError(f"This is no checkpoint: {error}") from error
    if not isinstance(state, dict):
        raise ParcelError(f"This is no checkpoint: it holds a {type(state).__name__}.")
    return state


def generators() -> dict[str, Any]:
    """Return the states of the generators of ``random``, ``numpy.random`` and a loaded torch."""
    version, words, gauss = random.getstate()
    states = {
        "random": (version, np.array(words, np.uint64), gauss),
        "numpy": np.random.get_state(legacy=False),  # noqa: NPY002  (the one that apps use)
    }
    if "torch" in sys.modules:
        torch: Any = sys.modules["torch"]
        states["torch"] = torch.get_rng_state().numpy()
        if torch.cuda.is_initialized():
            states["cuda"] = [state.numpy() for state in torch.cuda.get_rng_state_all()]
    return states


def set_generators(saved: Mapping[str, Any]) -> None:
    """Set the generators to what `generators` returned."""
    version, words, gauss = saved["random"]
    random.setstate((version, tuple(words.tolist()), gauss))
    np.random.set_state(saved["numpy"])  # noqa: NPY002  (the one that apps use)
    if "torch" in saved:
        import torch

        torch.set_rng_state(torch.from_numpy(saved["torch"]))
        for device, state in enumerate(saved.get("cuda", ())[: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(torch.from_numpy(state), device)


class _Encoder:
    """Makes the tree, and gathers the records that it refers to."""

    def __init__(self) -> None:
        self.records: dict[str, Any] = {}

    def encode(self, value: Any, path: tuple[str, ...]) -> Any:
        kind = type(value)
        if value is None or kind in (bool, float, str, bytes):
            return value
        if kind is int and _SMALLEST <= value <= _LARGEST:
            return value
        return self._tagged(value, path)

    def _tagged(self, value: Any, path: tuple[str, ...]) -> list[Any]:
        payload: Any
        if type(value) is int:
            tag, payload = _INTEGER, hex(value)
        elif type(value) in (list, tuple):
            tag = _LIST if type(value) is list else _TUPLE
            payload = [self.encode(item, (*path, str(at))) for at, item in enumerate(value)]
        elif isinstance(value, np.ndarray | np.generic):
            tag = _SCALAR if isinstance(value, np.generic) else _ARRAY
            payload = self._keep(self._record_of(value, path))
        elif isinstance(value, ArrayRecord | MetricRecord | ConfigRecord):
            tag, payload = _RECORD, self._keep(value)
        elif isinstance(value, RecordDict):
            tag = _RECORDS
            payload = [[name, self._keep(record)] for name, record in value.items()]
        elif isinstance(value, Mapping):
            tag, payload = _DICT, [self._item(key, item, path) for key, item in value.items()]
        else:
            raise self._refusal(value, path)
        return [tag, payload]

    def _item(self, key: Any, value: Any, path: tuple[str, ...]) -> list[Any]:
        if type(key) not in (str, int):
            raise self._refusal(key, (*path, f"(key {key!r})"))
        return [self.encode(key, path), self.encode(value, (*path, str(key)))]

    def _record_of(self, value: Array | np.generic, path: tuple[str, ...]) -> ArrayRecord:
        array: Array = np.asarray(value)
        if not array.flags.forc:
            array = np.ascontiguousarray(array)
        try:
            layout = Layout.of(["x"], [array])
            return memory.adopt(layout, array.ravel(order="K").view(np.uint8))
        except (ValueError, TypeError) as error:
            raise self._refusal(value, path) from error

    def _keep(self, record: Any) -> str:
        name = str(len(self.records))
        self.records[name] = record
        return name

    @staticmethod
    def _refusal(value: Any, path: tuple[str, ...]) -> TypeError:
        what = type(value).__name__
        if isinstance(value, np.ndarray | np.generic):
            what += f" of {value.dtype}"
        return TypeError(
            f"The state cannot be saved: '{'.'.join(path)}' is a {what}. State is made of numbers, "
            "texts, lists and dicts of them, ndarrays and records."
        )


def _decode(tree: Any, content: RecordDict) -> Any:
    if not isinstance(tree, list):
        return tree
    tag, payload = tree
    value: Any
    if tag in (_LIST, _TUPLE):
        items = [_decode(item, content) for item in payload]
        value = items if tag == _LIST else tuple(items)
    elif tag == _DICT:
        value = {_decode(key, content): _decode(item, content) for key, item in payload}
    elif tag == _INTEGER:
        value = int(payload, 16)
    elif tag in (_ARRAY, _SCALAR):
        record = content[payload]
        assert isinstance(record, ArrayRecord)
        array = memory.views(record)[0].copy(order="K")
        value = array if tag == _ARRAY else array[()]
    elif tag == _RECORD:
        value = content[payload]
    elif tag == _RECORDS:
        value = RecordDict({name: content[record] for name, record in payload})
    else:
        raise ParcelError(f"This is no checkpoint: it holds {tag!r}.")
    return value
