"""The copy budget: sealing and opening copy no array, writing copies once."""

import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from flwr import wire
from flwr.app import Array, ArrayRecord, Message, RecordDict, memory

MEGABYTE = 1 << 20


def message_of(record: ArrayRecord) -> Message:
    return Message(RecordDict({"r": record}), dst_node_id=1, message_type="train")


def as_array(part: memoryview) -> np.ndarray[Any, Any]:
    return np.frombuffer(part, np.uint8)


@pytest.fixture
def packed_record() -> ArrayRecord:
    return ArrayRecord([np.ones((512, 1024), np.float32) for _ in range(4)])  # 2 MiB each


@pytest.fixture
def record_apart(packed_record: ArrayRecord) -> ArrayRecord:
    return ArrayRecord({f"layer {name}": array for name, array in packed_record.items()})


@pytest.fixture(params=["packed_record", "record_apart"])
def record(request: pytest.FixtureRequest) -> ArrayRecord:
    value: ArrayRecord = request.getfixturevalue(request.param)
    return value


@pytest.fixture
def trace() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def test_frames_are_the_arrays_memory(record: ArrayRecord) -> None:
    _, *frames = wire.seal(message_of(record)).parts
    assert len(frames) == len(record)
    for frame, view in zip(frames, memory.views(record), strict=True):
        assert frame.readonly
        assert np.shares_memory(as_array(frame), view)
        assert frame.nbytes == view.nbytes


def test_sealing_allocates_next_to_nothing(record: ArrayRecord, trace: None) -> None:
    message = message_of(record)
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    parcel = wire.seal(message)
    parts = parcel.parts
    assert tracemalloc.get_traced_memory()[1] - before < MEGABYTE / 4
    assert len(parts) == 5


def test_writing_allocates_next_to_nothing(record: ArrayRecord, trace: None) -> None:
    parcel = wire.seal(message_of(record))
    buffer = np.empty(parcel.nbytes, np.uint8)
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    parcel.write_into(buffer)
    assert tracemalloc.get_traced_memory()[1] - before < MEGABYTE / 4


def test_writing_many_small_arrays_that_lie_apart_joins_them_nowhere(trace: None) -> None:
    record = ArrayRecord({str(i): Array(np.ones(4_000, np.float32)) for i in range(500)})
    nbytes = memory.layout_of(record).nbytes
    buffer = np.empty(nbytes + MEGABYTE, np.uint8)
    message = message_of(record)
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    wire.seal(message).write_into(buffer)
    assert tracemalloc.get_traced_memory()[1] - before < nbytes / 4


def test_opened_arrays_are_views_on_the_buffer(record: ArrayRecord, trace: None) -> None:
    parcel = wire.seal(message_of(record))
    buffer = np.empty(parcel.nbytes, np.uint8)
    parcel.write_into(buffer)
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    opened = wire.open(buffer).content.array_records["r"]
    views = memory.views(opened)
    assert tracemalloc.get_traced_memory()[1] - before < MEGABYTE / 4
    for view, original in zip(views, memory.views(record), strict=True):
        assert np.shares_memory(view, buffer)
        assert not view.flags.writeable
        np.testing.assert_array_equal(view, original)


def test_opened_arrays_keep_the_buffer_alive(record: ArrayRecord) -> None:
    parcel = wire.seal(message_of(record))
    opened = wire.open(b"".join(parcel.parts)).content.array_records["r"]
    del parcel
    for view, original in zip(memory.views(opened), memory.views(record), strict=True):
        np.testing.assert_array_equal(view, original)


def test_small_arrays_share_a_frame_and_large_ones_have_their_own() -> None:
    sizes = [10, 20, 0, 70_000, 5, 65_535, 65_536, 65_536, 0, 1]
    record = ArrayRecord([np.full(size, 7, np.uint8) for size in sizes])
    apart = ArrayRecord(dict(record.items()))
    for message in (message_of(record), message_of(apart)):
        _, *frames = wire.seal(message).parts
        assert [frame.nbytes for frame in frames] == [30, 70_000, 65_540, 65_536, 65_536, 1]


def test_equal_layers_make_equal_frames_whatever_lies_beside_them() -> None:
    layer = np.arange(100_000, dtype=np.float64)
    one = wire.seal(message_of(ArrayRecord([layer, np.ones(3)]))).parts
    other = wire.seal(message_of(ArrayRecord({"x": Array(np.ones(5)), "y": Array(layer)}))).parts
    assert one[1] == other[2]


def test_gaps_between_arrays_are_zeros_not_leftover_memory() -> None:
    arrays: list[np.ndarray[Any, Any]] = [
        np.full(3, 255, np.uint8),
        np.full(2, -1, np.int64),
        np.full(1, 255, np.uint8),
    ]
    packed = wire.seal(message_of(ArrayRecord(arrays)))
    apart = wire.seal(message_of(ArrayRecord({str(i): Array(a) for i, a in enumerate(arrays)})))
    expected = b"\xff" * 3 + bytes(5) + b"\xff" * 17
    assert packed.parts[1].tobytes() == expected
    assert apart.parts[1].tobytes() == expected
