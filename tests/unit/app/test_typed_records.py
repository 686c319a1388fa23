import copy
import enum
import math
import pickle  # noqa: TID251  # users' processes (ray, multiprocessing) pickle these objects
import re
from collections.abc import MutableMapping

import numpy as np
import pytest
import torch

from flwr.app import ArrayRecord, ConfigRecord, MetricRecord

BOTH = pytest.mark.parametrize("kind", [MetricRecord, ConfigRecord])


class Level(enum.IntEnum):
    HIGH = 3


class Colour(str, enum.Enum):  # noqa: UP042  # the older form, whose str() is not its value
    RED = "red"


SETTERS = {
    "constructor": lambda kind, value: kind({"key": value}),
    "setitem": lambda kind, value: _changed(kind, lambda r: r.__setitem__("key", value)),
    "update": lambda kind, value: _changed(kind, lambda r: r.update({"key": value})),
    "setdefault": lambda kind, value: _changed(kind, lambda r: r.setdefault("key", value)),
}


def _changed(kind, change):
    record = kind()
    change(record)
    return record


@pytest.fixture(params=SETTERS)
def put(request):
    """Put a value under ``key`` of a new record of a kind."""
    return SETTERS[request.param]


@BOTH
@pytest.mark.parametrize(
    "value",
    [0, 1, -(2**70), 1.5, math.inf, [1, 2], [1.0, 2.0], [], [2**70, 1]],
)
def test_numbers_pass(put, kind, value):
    record = put(kind, value)
    assert record["key"] == value
    assert type(record["key"]) is type(value)


@BOTH
def test_nan_passes(put, kind):
    assert math.isnan(put(kind, math.nan)["key"])


@pytest.mark.parametrize(
    "value", [True, "text", "", b"bytes", ["a", "b"], [b"x"], [True, False], [""]]
)
def test_texts_and_bools_pass_in_configs_only(put, value):
    record = put(ConfigRecord, value)
    assert record["key"] == value
    assert type(record["key"]) is type(value)
    with pytest.raises(TypeError):
        put(MetricRecord, value)


@BOTH
@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.float64(1.5), 1.5),
        (np.float32(1.5), 1.5),
        (np.float16(1.5), 1.5),
        (np.longdouble(1.5), 1.5),
        (np.int64(7), 7),
        (np.uint8(7), 7),
        (Level.HIGH, 3),
        ([np.float64(1), np.float32(2)], [1.0, 2.0]),
        ([1, np.int32(2)], [1, 2]),
        ([np.float32(1.5), 2.0], [1.5, 2.0]),
    ],
)
def test_numpy_scalars_become_plain(put, kind, value, plain):
    got = put(kind, value)["key"]
    assert got == plain
    assert type(got) is type(plain)
    if isinstance(plain, list):
        assert [type(element) for element in got] == [type(element) for element in plain]


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.bool_(True), True),
        (np.str_("text"), "text"),
        (np.bytes_(b"x"), b"x"),
        (Colour.RED, "red"),
        ([np.bool_(False), True], [False, True]),
        ([np.str_("a"), "b"], ["a", "b"]),
    ],
)
def test_numpy_texts_and_bools_become_plain_in_configs(put, value, plain):
    got = put(ConfigRecord, value)["key"]
    assert got == plain
    assert type(got) is type(plain)
    with pytest.raises(TypeError):
        put(MetricRecord, value)


@BOTH
@pytest.mark.parametrize(
    "value",
    [
        None,
        (1, 2),
        {"a": 1},
        {1, 2},
        bytearray(b"x"),
        1j,
        np.complex128(1),
        np.datetime64("2026-01-31"),
        np.timedelta64(1, "s"),
        np.array(1.0),
        np.array([1.0]),
        torch.tensor(1.0),
        object(),
    ],
)
def test_other_values_are_refused(put, kind, value):
    with pytest.raises(TypeError, match="Not all values are of valid type. Expected .*'?key'?: "):
        put(kind, value)


@BOTH
@pytest.mark.parametrize(
    "value",
    [
        [1, 2.0],
        [1.0, 2],
        [True, 1],
        [1, True],
        [np.float32(1), 1],
        [None],
        [[1]],
        [(1,)],
        [1, None],
        [object()],
        [np.array(1.0)],
    ],
)
def test_other_lists_are_refused(put, kind, value):
    with pytest.raises(
        TypeError, match=r"All values in a list must be of the same valid type\. One"
    ):
        put(kind, value)


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        (torch.tensor(1.0), "value.item()"),
        (np.array(1.0), "value.item()"),
        (np.zeros(3), "value.tolist()"),
        ((1, 2), "list(value)"),
        (True, "int(value)"),
        ("0.5", "float(value)"),
        ({"a": 1}, "a key of its own"),
        (None, "leave the key out"),
    ],
)
def test_refusals_name_the_key_and_what_to_do(value, advice):
    with pytest.raises(TypeError) as caught:
        MetricRecord({"accuracy": 1.0, "loss": value})
    assert "'loss'" in str(caught.value)
    assert advice in str(caught.value)
    assert "int | float | list[int] | list[float]" in str(caught.value)


def test_refusals_of_lists_name_the_key_and_what_they_hold():
    with pytest.raises(TypeError, match="list of key 'losses' holds float, int"):
        MetricRecord({"losses": [1, 2.0]})


@BOTH
def test_a_refused_value_leaves_the_record_as_it_was(kind):
    record = kind({"a": 1})
    with pytest.raises(TypeError):
        record["a"] = None
    with pytest.raises(TypeError):
        record["b"] = None
    assert record == {"a": 1}


@BOTH
@pytest.mark.parametrize("key", [1, None, b"x", ("a",)])
def test_keys_must_be_text(kind, key):
    named = re.escape(f"was passed: {key!r}.")
    with pytest.raises(TypeError, match=f"Key must be of type `str` but .* {named}"):
        kind({key: 1})
    record = kind()
    with pytest.raises(TypeError, match=named):
        record[key] = 1


@BOTH
def test_text_keys_become_plain(kind):
    record = kind({np.str_("a"): 1})
    record[Colour.RED] = 2
    assert [(type(key), key) for key in record] == [(str, "a"), (str, "red")]


@BOTH
@pytest.mark.parametrize("given", [None, {}])
def test_empty(kind, given):
    assert kind(given) == kind() == {}
    assert not kind()


@BOTH
def test_a_list_of_pairs_is_an_attribute_error(kind):
    with pytest.raises(AttributeError, match="keys"):
        kind([("a", 1)])


@BOTH
def test_made_of_another_record(kind):
    record = kind({"a": 1, "b": [2]})
    other = kind(record)
    other["c"] = 3
    assert record == {"a": 1, "b": [2]}


@BOTH
def test_keep_input(kind):
    given = {"a": 1, "b": [2]}
    assert kind(given, True) == {"a": 1, "b": [2]}
    assert given == {"a": 1, "b": [2]}
    assert kind(given, keep_input=False) == {"a": 1, "b": [2]}
    assert given == {}


@BOTH
def test_keep_input_keeps_what_is_refused(kind):
    given = {"a": 1, "b": None}
    with pytest.raises(TypeError):
        kind(given, keep_input=False)
    assert given == {"a": 1, "b": None}


@BOTH
def test_the_outer_dict_is_copied_and_lists_are_shared(kind):
    given = {"a": [1]}
    record = kind(given)
    given["b"] = 2
    given["a"].append(2)
    assert record == {"a": [1, 2]}


def test_keyword_names():
    assert MetricRecord(metric_dict={"a": 1}, keep_input=True) == {"a": 1}
    assert ConfigRecord(config_dict={"a": 1}, keep_input=True) == {"a": 1}


@BOTH
def test_mapping(kind):
    record = kind({"a": 1, "b": 2})
    assert isinstance(record, MutableMapping)
    assert not isinstance(record, dict)
    assert type(record.keys()) is type({}.keys())
    assert type(record.values()) is type({}.values())
    assert type(record.items()) is type({}.items())
    assert list(record) == ["a", "b"]
    assert "a" in record
    assert record.get("z") is None
    assert record.pop("a") == 1
    record["c"] = 3
    assert record.popitem() == ("c", 3)
    assert record.setdefault("b", 9) == 2
    del record["b"]
    record.update(x=1)
    record.clear()
    assert len(record) == 0
    for missing in (lambda: record["z"], lambda: record.pop("z"), lambda: record.__delitem__("z")):
        with pytest.raises(KeyError, match="z"):
            missing()
    with pytest.raises(KeyError):
        record.popitem()
    with pytest.raises(TypeError):
        record | {}
    with pytest.raises(TypeError):
        reversed(record)
    with pytest.raises(TypeError, match="unhashable"):
        hash(record)


def test_equality():
    assert MetricRecord({"a": 1, "b": 2}) == MetricRecord({"b": 2, "a": 1})
    assert MetricRecord({"a": 1}) == {"a": 1}
    assert MetricRecord({"a": 1}) == {"a": 1}
    assert ConfigRecord({"a": 1}) == MetricRecord({"a": 1})
    assert MetricRecord() == ArrayRecord()
    assert MetricRecord({"a": 1}) != MetricRecord({"a": 2})
    assert MetricRecord({"a": 1}) != [("a", 1)]


@BOTH
def test_repr_prints_like_a_dict(kind):
    assert repr(kind({"a": 1, "b": [2.5]})) == "{'a': 1, 'b': [2.5]}"


@BOTH
@pytest.mark.parametrize(
    "duplicate",
    [lambda r: r.copy(), copy.copy, copy.deepcopy, lambda r: pickle.loads(pickle.dumps(r))],
)
def test_copies(kind, duplicate):
    record = kind({"a": 1, "b": [2]})
    other = duplicate(record)
    assert type(other) is kind
    assert other == record
    other["c"] = 3
    assert record == {"a": 1, "b": [2]}


@BOTH
def test_deep_copies_do_not_share_lists(kind):
    record = kind({"b": [2]})
    copy.deepcopy(record)["b"].append(3)
    assert record == {"b": [2]}


@pytest.mark.parametrize(
    ("values", "nbytes"),
    [
        ({}, 0),
        ({"ab": 1}, 2 + 8),
        ({"ab": 1.5, "c": [1, 2, 3]}, 2 + 8 + 1 + 24),
        ({"ab": []}, 2),
        ({"é": 1}, 1 + 8),
    ],
)
def test_count_bytes_of_numbers(values, nbytes):
    assert MetricRecord(values).count_bytes() == nbytes
    assert ConfigRecord(values).count_bytes() == nbytes


@pytest.mark.parametrize(
    ("values", "nbytes"),
    [
        ({"a": True}, 1 + 1),
        ({"a": [True, False]}, 1 + 2),
        ({"a": "text"}, 1 + 4),
        ({"a": "é"}, 1 + 1),
        ({"a": ""}, 1),
        ({"a": b"xyz"}, 1 + 3),
        ({"a": ["xy", "z", ""]}, 1 + 3),
        ({"a": [b"xy"]}, 1 + 2),
    ],
)
def test_count_bytes_of_configs(values, nbytes):
    assert ConfigRecord(values).count_bytes() == nbytes
