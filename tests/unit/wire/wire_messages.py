"""Whole messages for the tests of the wire, and what it means that two are the same."""

import math
import struct
from typing import Any

import ml_dtypes
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Error,
    Message,
    Metadata,
    MetricRecord,
    RecordDict,
)

NAMES = st.text(max_size=8)
INTEGERS = st.one_of(
    st.integers(),
    st.sampled_from([2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1]),
)
FLOATS = st.floats()
METRICS = st.one_of(INTEGERS, FLOATS, st.lists(INTEGERS), st.lists(FLOATS))
SCALARS = [INTEGERS, FLOATS, st.text(), st.binary(), st.booleans()]
CONFIGS = st.one_of(*SCALARS, *(st.lists(scalar) for scalar in SCALARS))

EXTENDED = [ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2]
DTYPES = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(endianness="?"),
    hnp.unsigned_integer_dtypes(endianness="?"),
    hnp.floating_dtypes(endianness="?"),
    hnp.complex_number_dtypes(endianness="?", sizes=(64, 128)),
    hnp.unicode_string_dtypes(min_len=1, max_len=3),
    hnp.byte_string_dtypes(min_len=1, max_len=3),
    st.sampled_from([np.dtype("datetime64[ns]"), np.dtype("timedelta64[s]")]),
    st.sampled_from([np.dtype(dtype) for dtype in EXTENDED]),
)
SHAPES = st.one_of(
    hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
    st.sampled_from([(16_384,), (20_000,), (3, 7_000)]),  # about the size that gets its own frame
)


@st.composite
def ndarrays(draw: st.DrawFn) -> np.ndarray[Any, Any]:
    """Any dtype, shape and memory order; the values are random bytes."""
    dtype = draw(DTYPES)
    shape = draw(SHAPES)
    count = math.prod(shape)
    chance = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if dtype.kind == "U":
        units = chance.integers(1, 0xD800, count * dtype.itemsize // 4, np.uint32)
        data = units.astype(np.dtype(np.uint32).newbyteorder(dtype.byteorder))
    else:
        data = chance.integers(0, 2 if dtype.kind == "b" else 256, count * dtype.itemsize, np.uint8)
    array: np.ndarray[Any, Any] = data.view(dtype)
    array = array.reshape(shape)
    match draw(st.sampled_from(["C", "F", "transposed", "reversed"])):
        case "F":
            return np.asfortranarray(array)
        case "transposed":
            return array.T
        case "reversed":
            return array[..., ::-1] if array.ndim else array
    return array


RAW_ARRAYS = st.builds(
    Array,
    dtype=st.sampled_from(["", "float32", "my.dtype"]),
    shape=st.lists(st.integers(0, 2**40), max_size=3).map(tuple),
    stype=st.sampled_from(["numpy.ndarray", "my.tensor", "", "é"]),
    data=st.binary(max_size=200),
)


@st.composite
def array_records(draw: st.DrawFn) -> ArrayRecord:
    if draw(st.booleans()):  # one buffer
        return ArrayRecord(draw(st.lists(ndarrays(), max_size=5)))
    arrays = st.one_of(ndarrays().map(Array), RAW_ARRAYS)
    return ArrayRecord(draw(st.dictionaries(NAMES, arrays, max_size=5)))


CONTENTS = st.dictionaries(
    NAMES,
    st.one_of(
        array_records(),
        st.dictionaries(NAMES, METRICS, max_size=4).map(MetricRecord),
        st.dictionaries(NAMES, CONFIGS, max_size=4).map(ConfigRecord),
    ),
    max_size=4,
).map(RecordDict)

IDS = st.integers(0, 2**64 - 1)
TASK_IDS = st.one_of(st.none(), IDS)
TIMES = st.one_of(st.integers(-(2**40), 2**40), st.floats(allow_nan=False))
TYPES = st.sampled_from(["train", "evaluate", "query", "system", "train.é", "get_parameters"])


@st.composite
def metadatas(draw: st.DrawFn) -> Metadata:
    metadata = Metadata(
        run_id=draw(IDS),
        message_id=draw(st.text()),
        src_node_id=draw(IDS),
        dst_node_id=draw(IDS),
        reply_to_message_id=draw(st.text()),
        group_id=draw(st.text()),
        created_at=draw(TIMES),
        ttl=draw(TIMES),
        message_type=draw(TYPES),
        src_task_id=draw(TASK_IDS),
        dst_task_id=draw(TASK_IDS),
    )
    metadata.delivered_at = draw(st.text())
    return metadata


ERRORS = st.builds(Error, code=st.integers(0, 255), reason=st.one_of(st.none(), st.text()))
MESSAGES = st.one_of(
    st.builds(lambda md, content: Message(metadata=md, content=content), metadatas(), CONTENTS),
    st.builds(lambda md, error: Message(metadata=md, error=error), metadatas(), ERRORS),
)


def assert_same_message(one: Message, other: Message) -> None:
    assert one.metadata == other.metadata
    assert type(one.metadata.ttl) is type(other.metadata.ttl)
    assert one.has_error() == other.has_error()
    if one.has_error():
        assert one.error == other.error
    else:
        assert_same_content(one.content, other.content)


def assert_same_content(one: RecordDict, other: RecordDict, *, values: bool = True) -> None:
    """Compare names, order, kinds and (unless ``values`` is off) every bit of the values."""
    assert list(one) == list(other)
    for name, record in one.items():
        assert type(record) is type(other[name])
        assert list(record) == list(other[name])
        for key, value in record.items():
            assert_same_value(value, other[name][key], values=values)


def assert_same_value(one: Any, other: Any, *, values: bool) -> None:
    assert type(one) is type(other)
    if isinstance(one, Array):
        assert (one.dtype, one.shape, one.stype) == (other.dtype, other.shape, other.stype)
        assert len(one.data) == len(other.data)
        assert not values or one.data == other.data
    elif isinstance(one, list):
        assert len(one) == len(other)
        for item, other_item in zip(one, other, strict=True):
            assert_same_value(item, other_item, values=values)
    elif isinstance(one, float):
        assert struct.pack("d", one) == struct.pack("d", other)
    else:
        assert one == other
