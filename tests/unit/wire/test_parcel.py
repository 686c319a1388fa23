"""Parcels: what is sealed comes out the same, whatever it is and wherever it is written."""

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from wire_messages import MESSAGES, assert_same_content, assert_same_message

from flwr import wire
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.errors import ParcelError


def message_of(content: RecordDict) -> Message:
    return Message(content, dst_node_id=1, message_type="train")


def written(message: Message) -> bytearray:
    parcel = wire.seal(message)
    buffer = bytearray(parcel.nbytes)
    assert parcel.write_into(buffer) == parcel.nbytes
    return buffer


@given(message=MESSAGES)
def test_every_message_comes_out_as_it_went_in(message: Message) -> None:
    opened = wire.open(written(message))
    assert_same_message(message, opened)
    assert_same_message(message, wire.open(written(opened)))


@given(message=MESSAGES)
def test_parts_joined_are_what_is_written(message: Message) -> None:
    parcel = wire.seal(message)
    joined = b"".join(parcel.parts)
    assert joined == written(message)
    assert len(joined) == parcel.nbytes
    assert all(part.nbytes for part in parcel.parts)


@pytest.mark.parametrize(
    "array",
    [
        np.array(3.5, np.float32),
        np.zeros((0, 3), np.float64),
        np.asfortranarray(np.arange(12, dtype=np.int16).reshape(3, 4)),
        np.arange(12)[::-3],
        np.arange(6, dtype=">f4").reshape(2, 3),
        np.arange(5, dtype=ml_dtypes.bfloat16),
        np.arange(5, dtype=ml_dtypes.float8_e5m2),
        np.array([True, False]),
        np.array(["é", "ab"]),
        np.array([(1, 2.5)], dtype=[("a", "<i4"), ("b", "<f8")]),
        np.array(["2026-01-31", "NaT"], "datetime64[D]"),
        np.arange(20_000, dtype=np.complex64),
    ],
    ids=lambda array: f"{array.dtype}-{array.shape}",
)
@pytest.mark.parametrize("form", ["packed", "apart"])
def test_arrays_of_every_kind(array: np.ndarray[Any, Any], form: str) -> None:
    arrays = [array, np.arange(3, dtype=np.uint8), array]
    if form == "packed":
        record = ArrayRecord(arrays)
    else:
        record = ArrayRecord({str(i): Array(a) for i, a in enumerate(arrays)})
    opened = wire.open(written(message_of(RecordDict({"r": record})))).content.array_records["r"]
    assert_same_content(RecordDict({"r": record}), RecordDict({"r": opened}))
    for before, after in zip(arrays, opened.to_numpy_ndarrays(), strict=True):
        assert after.dtype == before.dtype
        assert after.shape == before.shape
        assert after.tobytes() == before.tobytes()
        assert after.flags.writeable


def test_raw_arrays_of_a_foreign_stype() -> None:
    record = ArrayRecord(
        {
            "a": Array("", (), "my.tensor", b"\x00\x01\x02"),
            "b": Array("float16", (2, 3), "é", b""),
            "c": Array(np.arange(3)),
            "d": Array("x", (2**40,), "my.tensor", b"z" * 70_000),
        }
    )
    opened = wire.open(written(message_of(RecordDict({"r": record}))))
    assert_same_content(RecordDict({"r": record}), opened.content)


def test_records_of_several_kinds_keep_their_order() -> None:
    content = RecordDict(
        {
            "z": MetricRecord({"b": [1, 2], "a": float("nan"), "big": 2**200, "list": [-(2**70)]}),
            "y": ArrayRecord([np.arange(3)]),
            "x": ConfigRecord({"é": "ü", "raw": b"\xff\x00", "on": True, "s": ["a", "é"], "l": []}),
            "w": ArrayRecord(),
            "v": ArrayRecord([np.arange(5, dtype=np.int8), np.ones(3)]),
        }
    )
    opened = wire.open(written(message_of(content)))
    assert_same_content(content, opened.content)


def test_an_integer_too_long_for_decimal_text() -> None:
    content = RecordDict({"m": MetricRecord({"n": -(10**5000)})})
    opened = wire.open(written(message_of(content)))
    assert opened.content == content


def test_array_records_lie_aligned_however_long_the_one_before_is() -> None:
    content = RecordDict(
        {str(n): ArrayRecord([np.zeros(n, np.uint8), np.ones(2)]) for n in range(1, 20)}
    )
    buffer = np.empty(1 << 16, np.uint8)
    used = wire.seal(message_of(content)).write_into(buffer)
    opened = wire.open(buffer[:used])
    assert_same_content(content, opened.content)


def test_a_model_of_thousands_of_arrays() -> None:
    arrays = {f"block {i}": Array(np.full(i % 7, i)) for i in range(5_000)}
    content = RecordDict({"model": ArrayRecord(arrays)})
    buffer = written(message_of(content))
    for _ in range(2):
        assert_same_content(content, wire.open(buffer).content)


def test_numpy_scalars_become_plain_numbers() -> None:
    shared = [0.5]
    message = message_of(
        RecordDict(
            {
                "m": MetricRecord({"a": np.float64(0.5), "l": shared}),
                "c": ConfigRecord({"s": np.str_("x")}),
            }
        )
    )
    shared.append(np.float64(1.5))  # records share their lists
    message.metadata.ttl = np.float64(3.5)
    opened = wire.open(written(message))
    assert type(opened.content["m"]["a"]) is float
    assert type(opened.content["c"]["s"]) is str
    assert opened.content == message.content
    assert opened.metadata.ttl == 3.5


def test_an_error_whose_reason_is_no_utf8_still_travels() -> None:
    message = message_of(RecordDict())
    reply = Message(Error(2, "no file \udcff.txt"), reply_to=message)
    opened = wire.open(written(reply))
    assert opened.error == Error(2, "no file \\udcff.txt")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (lambda: RecordDict({"\ud800": MetricRecord()}), "name of record '\\ud800'"),
        (lambda: RecordDict({"r": MetricRecord({"\ud800": 1})}), "Key '\\ud800' of record 'r'"),
        (
            lambda: RecordDict({"r": ConfigRecord({"k": "\ud800"})}),
            "value of key 'k' of record 'r'",
        ),
        (lambda: RecordDict({"r": ConfigRecord({"k": ["", "\ud800"]})}), "key 'k' of record 'r'"),
        (lambda: RecordDict({"r": ArrayRecord({"\ud800": Array(np.ones(1))})}), "surrogate"),
    ],
)
def test_text_that_is_no_utf8_is_refused_by_name(
    content: Callable[[], RecordDict], told: str
) -> None:
    with pytest.raises(ParcelError) as caught:
        wire.seal(message_of(content()))
    assert told in str(caught.value)


def test_a_list_that_was_spoiled_after_the_record_was_made_is_refused_by_name() -> None:
    shared: list[float] = [1.0]
    record = MetricRecord({"losses": shared})
    shared.append(np.float32(2))  # type: ignore[arg-type]
    with pytest.raises(ParcelError, match="'losses' of record 'r'.*float32"):
        wire.seal(message_of(RecordDict({"r": record})))


def test_an_id_beyond_64_bits_is_refused() -> None:
    message = message_of(RecordDict())
    message.metadata._run_id = 2**64
    with pytest.raises(ParcelError, match="cannot be written"):
        wire.seal(message)


def test_write_into_refuses_a_small_or_read_only_buffer() -> None:
    parcel = wire.seal(message_of(RecordDict()))
    with pytest.raises(ValueError, match=f"{parcel.nbytes} bytes, but the buffer 10"):
        parcel.write_into(bytearray(10))
    with pytest.raises(ValueError, match="read-only"):
        parcel.write_into(bytes(parcel.nbytes))  # type: ignore[arg-type]


def test_write_into_leaves_the_rest_of_a_larger_buffer() -> None:
    parcel = wire.seal(message_of(RecordDict({"r": ArrayRecord([np.ones(3)])})))
    buffer = bytearray(b"\xaa" * (parcel.nbytes + 8))
    used = parcel.write_into(memoryview(buffer))
    assert buffer[used:] == b"\xaa" * 8
    opened = wire.open(memoryview(buffer)[:used]).content.array_records["r"]
    assert opened.to_numpy_ndarrays()[0].tolist() == [1, 1, 1]


@pytest.mark.parametrize("form", [bytes, bytearray, memoryview, np.frombuffer])
def test_open_takes_any_buffer(form: Callable[..., Any]) -> None:
    content = RecordDict({"r": ArrayRecord([np.arange(4)])})
    data = bytes(written(message_of(content)))
    buffer = np.frombuffer(data, np.uint8) if form is np.frombuffer else form(data)
    assert_same_content(content, wire.open(buffer).content)


def test_a_parcel_made_before_still_opens() -> None:
    """The format, byte by byte: a change of it needs a new version."""
    message = Message(
        RecordDict(
            {"a": ArrayRecord([np.array([1, 2], np.uint8)]), "m": MetricRecord({"n": [2**64]})}
        ),
        dst_node_id=5,
        message_type="train.x",
        ttl=7,
        group_id="g",
    )
    message.metadata.created_at = 1.5
    data = bytes(written(message))
    assert data.hex() == GOLDEN
    assert_same_message(message, wire.open(bytes.fromhex(GOLDEN)))


GOLDEN = (
    "57465001ba9c37256600000000000000949c00a00005a0a167cb3ff800000000000007a774726169"
    "6e2e78c0c0a0c09293a161a1610093a16da16d81a16e91c713013078313030303030303030303030"
    "303030303091929197a130a575696e74389102c2ad6e756d70792e6e646172726179c20291020000"
    "00000000000000000102"
)
