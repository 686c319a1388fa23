"""Contents in parts: what is sealed comes out the same, and damage is refused by name."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_messages import CONTENTS, assert_same_content

from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict, memory
from flwr.errors import ParcelError
from flwr.wire.content import SealedContent, frame_sizes, open_content, seal_content

LARGE = 64 * 1024  # bytes that get a frame of their own


def floats(count: int, start: int = 0) -> np.ndarray:
    return np.arange(start, start + count, dtype=np.float32)


def opened(sealed: SealedContent) -> RecordDict:
    return open_content(sealed.head, sealed.frames)


@given(content=CONTENTS)
def test_every_content_comes_out_as_it_went_in(content: RecordDict) -> None:
    sealed = seal_content(content)
    assert_same_content(content, opened(sealed))
    assert_same_content(content, open_content(sealed.head, [bytes(f) for f in sealed.frames]))


@given(content=CONTENTS)
def test_frames_are_as_long_as_the_head_says(content: RecordDict) -> None:
    sealed = seal_content(content)
    sizes = [nbytes for record in frame_sizes(sealed.head) for nbytes in record]
    assert sizes == [frame.nbytes for frame in sealed.frames]
    assert all(sizes)
    assert sealed.nbytes == len(sealed.head) + sum(sizes)


@given(content=CONTENTS)
def test_equal_contents_have_equal_parts(content: RecordDict) -> None:
    one, other = seal_content(content), seal_content(opened(seal_content(content)))
    assert one.head == other.head
    assert [bytes(frame) for frame in one.frames] == [bytes(frame) for frame in other.frames]


@given(content=CONTENTS, data=st.data())
def test_a_head_that_was_changed_is_refused(content: RecordDict, data: st.DataObject) -> None:
    sealed = seal_content(content)
    head = bytearray(sealed.head)
    head[data.draw(st.integers(0, len(head) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(ParcelError):
        open_content(head, sealed.frames)


@given(content=CONTENTS, data=st.data())
def test_a_head_that_was_cut_is_refused(content: RecordDict, data: st.DataObject) -> None:
    head = seal_content(content).head
    with pytest.raises(ParcelError):
        frame_sizes(head[: data.draw(st.integers(0, len(head) - 1))])


@pytest.mark.parametrize("junk", [b"", b"WFC", b"PK\x03\x04 something else", bytes(100)])
def test_other_bytes_are_refused(junk: bytes) -> None:
    with pytest.raises(ParcelError, match="head|no content"):
        open_content(junk, [])


def test_another_version_is_named() -> None:
    head = bytearray(seal_content(RecordDict()).head)
    head[3] = 2
    with pytest.raises(ParcelError, match="version 2.*reads version 1"):
        frame_sizes(head)


def test_missing_and_wrong_frames_are_refused() -> None:
    content = RecordDict({"a": ArrayRecord([floats(LARGE), floats(LARGE)])})
    sealed = seal_content(content)
    for frames in (sealed.frames[:1], [*sealed.frames, b"more"], [sealed.frames[0], b"short"]):
        with pytest.raises(ParcelError, match=r"frames of \[262144, 262144\] bytes"):
            open_content(sealed.head, frames)


def test_nothing_is_copied_on_the_way_out() -> None:
    record = ArrayRecord([floats(LARGE), floats(LARGE, 5)])
    sealed = seal_content(RecordDict({"a": record, "again": record}))
    packed = memory.packed(record)
    assert len(sealed.frames) == 4
    assert all(np.shares_memory(np.frombuffer(frame, np.uint8), packed) for frame in sealed.frames)
    assert all(frame.readonly for frame in sealed.frames)


def test_separate_large_arrays_are_not_packed() -> None:
    arrays = {"a": Array(floats(LARGE)), "b": Array(floats(LARGE))}
    record = ArrayRecord(arrays)
    seal_content(RecordDict({"r": record}))
    assert not memory.is_packed(record)


def test_frames_that_lie_in_one_buffer_are_not_copied_on_the_way_in() -> None:
    record = ArrayRecord([floats(LARGE), floats(3), floats(LARGE)])
    sealed = seal_content(RecordDict({"a": record}))
    buffer = np.empty(sum(frame.nbytes for frame in sealed.frames) + 8, np.uint8)
    frames, at = [], 8
    for frame in sealed.frames:
        buffer[at : at + frame.nbytes] = frame
        frames.append(buffer[at : at + frame.nbytes].data)
        at += frame.nbytes
    content = open_content(sealed.head, frames)
    assert np.shares_memory(memory.packed(content["a"]), buffer)
    assert_same_content(RecordDict({"a": record}), content)


def test_frames_that_lie_apart_or_in_another_order_are_put_together() -> None:
    record = ArrayRecord([floats(LARGE), floats(LARGE, 7)])
    sealed = seal_content(RecordDict({"a": record}))
    first, second = (bytes(frame) for frame in sealed.frames)
    buffer = np.frombuffer(second + first, np.uint8)
    half = len(second)
    content = open_content(sealed.head, [buffer[half:].data, buffer[:half].data])
    assert_same_content(RecordDict({"a": record}), content)


def test_equal_layers_make_equal_frames_whatever_lies_beside_them() -> None:
    frozen = floats(LARGE)
    one = seal_content(RecordDict({"a": ArrayRecord([frozen, floats(5)])}))
    other = seal_content(
        RecordDict({"c": ConfigRecord({"x": 1}), "a": ArrayRecord([floats(3), frozen])})
    )
    assert bytes(one.frames[0]) == bytes(other.frames[-1])


def test_what_cannot_be_written_is_named() -> None:
    with pytest.raises(ParcelError, match="'half'"):
        seal_content(RecordDict({"c": ConfigRecord({"half": "\ud800"})}))
