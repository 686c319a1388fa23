"""Damaged, hostile and foreign bytes: always a ParcelError, never a large allocation."""

import random
import struct
import tracemalloc
import zlib
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_messages import assert_same_content

from flwr import wire
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.errors import ParcelError

HEAD = struct.Struct("<4sIQ")
LIMIT = 1 << 20  # bytes that opening a parcel of a few hundred bytes may allocate


@pytest.fixture
def message() -> Message:
    content = RecordDict(
        {
            "arrays": ArrayRecord([np.arange(5, dtype=np.float32), np.zeros((0, 3)), np.ones(3)]),
            "metrics": MetricRecord({"loss": 0.5, "counts": [1, 2, 3], "big": 2**90}),
            "raw": ArrayRecord(
                {"x": Array("", (), "my.tensor", b"abcdefg"), "y": Array(np.ones(2))}
            ),
            "config": ConfigRecord({"name": "é", "blob": b"\x00\xff", "on": True}),
        }
    )
    return Message(content, dst_node_id=12345, message_type="train", group_id="3")


@pytest.fixture
def parcel(message: Message) -> bytes:
    return b"".join(wire.seal(message).parts)


@pytest.fixture
def bounded() -> Iterator[None]:
    tracemalloc.start()
    yield
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < LIMIT


def frames_begin(parcel: bytes) -> int:
    end: int = HEAD.size + HEAD.unpack_from(parcel)[2]
    return end + -end % 64


def with_checksum(parcel: bytes, envelope: bytes, frames: bytes = b"") -> bytes:
    """Make a parcel of an arbitrary envelope, with all that a careful attacker gets right."""
    nbytes = HEAD.size + len(envelope)
    body = struct.pack("<Q", len(envelope)) + envelope + bytes(-nbytes % 64)
    return parcel[:4] + struct.pack("<I", zlib.crc32(body)) + body + frames


def envelope_of(parcel: bytes) -> bytes:
    return parcel[HEAD.size : HEAD.size + HEAD.unpack_from(parcel)[2]]


def test_every_truncation(parcel: bytes, bounded: None) -> None:
    for length in range(len(parcel)):
        with pytest.raises(ParcelError):
            wire.open(parcel[:length])


def test_bytes_too_many(parcel: bytes) -> None:
    for extra in (1, 63, 64, 1000):
        with pytest.raises(ParcelError):
            wire.open(parcel + bytes(extra))


def test_every_single_bit_in_front_of_the_frames(parcel: bytes, bounded: None) -> None:
    for position in range(frames_begin(parcel)):
        for bit in range(8):
            altered = bytearray(parcel)
            altered[position] ^= 1 << bit
            with pytest.raises(ParcelError):
                wire.open(altered)


def test_random_alterations(parcel: bytes, message: Message, bounded: None) -> None:
    chance = random.Random(3)
    in_frames = 0
    for _ in range(3000):
        altered = bytearray(parcel)
        positions = [chance.randrange(len(parcel)) for _ in range(chance.choice([1, 1, 2, 5, 20]))]
        for position in positions:
            altered[position] = chance.randrange(256)
        begin = frames_begin(parcel)
        if altered[:begin] == parcel[:begin]:
            in_frames += 1
            try:
                opened = wire.open(altered)
            except ParcelError:
                continue  # the zeros between two records
            assert_same_content(message.content, opened.content, values=False)
        else:
            with pytest.raises(ParcelError):
                wire.open(altered)
    assert in_frames > 100


def test_alterations_with_a_right_checksum(parcel: bytes, bounded: None) -> None:
    """Nothing but ParcelError comes out, and what opens can be walked."""
    chance = random.Random(4)
    envelope, frames = envelope_of(parcel), parcel[frames_begin(parcel) :]
    opened = 0
    for _ in range(20_000):
        altered = bytearray(envelope)
        for _ in range(chance.choice([1, 1, 1, 2, 3])):
            position = chance.randrange(len(altered))
            match chance.randrange(3):
                case 0:
                    altered[position] = chance.randrange(256)
                case 1:
                    del altered[position]
                case _:
                    altered.insert(position, chance.randrange(256))
        try:
            message = wire.open(with_checksum(parcel, bytes(altered), frames))
        except ParcelError:
            continue
        opened += 1
        if message.has_content():
            for record in message.content.array_records.values():
                for array in record.values():
                    assert len(array.data) < LIMIT
    assert opened > 100


@given(data=st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    for buffer in (data, b"WFP\x01" + data, with_checksum(b"WFP\x01", data)):
        with pytest.raises(ParcelError):
            wire.open(buffer)


def test_bytes_of_something_else() -> None:
    with pytest.raises(ParcelError, match="no parcel"):
        wire.open(b"PK\x03\x04" + bytes(100))


def test_another_version_is_named(parcel: bytes) -> None:
    with pytest.raises(ParcelError, match="version 2.*reads version 1"):
        wire.open(b"WFP\x02" + parcel[4:])


@pytest.mark.parametrize("length", [2**32, 2**62, 2**64 - 64, 2**64 - 1])
def test_a_huge_envelope_is_only_claimed(parcel: bytes, length: int, bounded: None) -> None:
    with pytest.raises(ParcelError, match="truncated"):
        wire.open(parcel[:8] + struct.pack("<Q", length) + parcel[16:])


@pytest.mark.parametrize(
    "head",
    [
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
    ],
    ids=["list", "mapping", "text", "bytes"],
)
def test_huge_msgpack_values_are_only_claimed(parcel: bytes, head: bytes, bounded: None) -> None:
    for envelope in (head + b"\x01" * 50, b"\x94" + head + b"\x01" * 50, b"\x94\x90\xc0" + head):
        with pytest.raises(ParcelError):
            wire.open(with_checksum(parcel, envelope))


def test_a_deeply_nested_envelope(parcel: bytes) -> None:
    with pytest.raises(ParcelError):
        wire.open(with_checksum(parcel, b"\x94" + b"\x91" * 100_000 + b"\x01"))


def hostile(parcel: bytes, path: list[int], value: Any, frames: bytes | None = None) -> bytes:
    """Replace one value of the envelope."""
    envelope = msgspec.msgpack.decode(envelope_of(parcel))
    at = envelope
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    own = parcel[frames_begin(parcel) :] if frames is None else frames
    return with_checksum(parcel, msgspec.msgpack.encode(envelope), own)


METADATA, ERROR, RECORDS, ARRAYS = range(4)


def test_the_replacement_itself_opens(parcel: bytes, message: Message) -> None:
    same = hostile(parcel, [METADATA, 0], 77)
    assert wire.open(same).metadata.run_id == 77


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ([METADATA, 0], "x"),
        ([METADATA, 0], None),
        ([METADATA, 1], 5),
        ([METADATA, 6], "now"),
        ([METADATA, 8], "no.such.type"),
        ([METADATA], []),
        ([METADATA], [1] * 12),
        ([ERROR], [2, "an error beside a content"]),
        ([ERROR], [2]),
        ([ERROR], ["x", "y"]),
        ([RECORDS], []),
        ([RECORDS], [["a", "a", 0]]),
        ([RECORDS, 0], ["arrays", "a", 1]),
        ([RECORDS, 0], ["arrays", "a", -1]),
        ([RECORDS, 0], ["arrays", "a", None]),
        ([RECORDS, 0], ["arrays", "a", "0"]),
        ([RECORDS, 2], ["raw", "a", 0]),
        ([RECORDS, 0], ["arrays", "?", 0]),
        ([RECORDS, 0], ["arrays", ["a"], 0]),
        ([RECORDS, 0], ["arrays", "a"]),
        ([RECORDS, 0], [1, "a", 0]),
        ([RECORDS, 0], "abc"),
        ([RECORDS, 0], 5),
        ([RECORDS, 1, 0], "arrays"),
        ([RECORDS, 1, 2], [1, 2]),
        ([RECORDS, 1, 2], {"k": None}),
        ([RECORDS, 1, 2], {"k": "text"}),
        ([RECORDS, 1, 2], {"k": [1, 2.5]}),
        ([RECORDS, 1, 2], {"k": [[1]]}),
        ([RECORDS, 1, 2], {5: 1}),
        ([RECORDS, 1, 2], {"k": msgspec.msgpack.Ext(1, b"not hexadecimal")}),
        ([RECORDS, 1, 2], {"k": msgspec.msgpack.Ext(1, b"\xff\xfe")}),
        ([RECORDS, 1, 2], {"k": msgspec.msgpack.Ext(1, b"")}),
        ([RECORDS, 1, 2], {"k": msgspec.msgpack.Ext(2, b"0x1")}),
        ([RECORDS, 3, 2], {"k": {"nested": 1}}),
        ([ARRAYS], []),
        ([ARRAYS, 0, 0], []),
        ([ARRAYS, 0, 0], [5]),
        ([ARRAYS, 0, 0], [[]]),
        ([ARRAYS, 0, 1], []),
        ([ARRAYS, 0, 1], [-5]),
        ([ARRAYS, 0, 1], [2**63]),
        ([ARRAYS, 0, 1], [2**64 - 1, 2**64 - 1]),
        ([ARRAYS, 0, 1], [1.5]),
        ([ARRAYS, 1, 1], [2**40]),
        ([ARRAYS, 0, 0, 0], ["0", "float32", [2**60], False, "numpy.ndarray", False, 2**62]),
        ([ARRAYS, 0, 0, 0], ["0", "float32", [2**62, 2**62], False, "numpy.ndarray", False, 0]),
        ([ARRAYS, 0, 0, 0], ["0", "float32", [0, 2**62], False, "numpy.ndarray", False, 0]),
        ([ARRAYS, 0, 0, 0], ["0", "float32", [-1], False, "numpy.ndarray", False, -4]),
        ([ARRAYS, 0, 0, 0], ["0", "object", [1], False, "numpy.ndarray", False, 8]),
        ([ARRAYS, 0, 0, 0], ["0", "nonsense", [5], False, "numpy.ndarray", False, 20]),
        ([ARRAYS, 0, 0, 0], ["1", "float32", [5], False, "numpy.ndarray", False, 20]),
    ],
    ids=lambda value: str(value).partition(" object at ")[0],  # an address differs from run to run
)
def test_hostile_values(parcel: bytes, path: list[int], value: Any, bounded: None) -> None:
    with pytest.raises(ParcelError):
        wire.open(hostile(parcel, path, value))


def test_a_record_that_claims_gigabytes(parcel: bytes, bounded: None) -> None:
    envelope = msgspec.msgpack.decode(envelope_of(parcel))
    header = ["0", "float32", [2**38], False, "numpy.ndarray", False, 2**40]
    envelope[RECORDS] = [["r", "a", 0]]
    envelope[ARRAYS] = [[[header], [2**40]]]
    with pytest.raises(ParcelError, match="truncated"):
        wire.open(with_checksum(parcel, msgspec.msgpack.encode(envelope)))


def test_an_error_with_a_wrong_type(message: Message) -> None:
    reply = Message(Error(2, "why"), reply_to=message)
    parcel = b"".join(wire.seal(reply).parts)
    assert wire.open(parcel).error.reason == "why"
    with pytest.raises(ParcelError):
        wire.open(hostile(parcel, [ERROR, 0], "2"))
