"""The codecs that the wire shares with the engine: records and metadata as plain lists."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from wire_messages import CONTENTS, assert_same_content, metadatas

from flwr.app import ArrayRecord, ConfigRecord, Metadata, MetricRecord, RecordDict
from flwr.errors import ParcelError
from flwr.wire import records


def through_msgpack(value: Any) -> Any:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(value))


@given(content=CONTENTS)
def test_records_come_out_as_they_went_in(content: RecordDict) -> None:
    placed: list[ArrayRecord] = []

    def place(record: ArrayRecord) -> int:
        placed.append(record)
        return len(placed) - 1

    encoded = through_msgpack(records.encode_records(content, place))
    decoded = records.decode_records(encoded, lambda number: placed[number])  # type: ignore[call-overload]
    assert_same_content(content, decoded)


@given(metadata=metadatas())
def test_metadata_comes_out_as_it_went_in(metadata: Metadata) -> None:
    decoded = records.decode_metadata(through_msgpack(records.encode_metadata(metadata)))
    assert decoded == metadata
    assert repr(decoded) == repr(metadata)


def test_what_stands_for_arrays_is_the_callers() -> None:
    content = RecordDict({"r": ArrayRecord([np.ones(2)]), "m": MetricRecord({"a": 1})})
    encoded = records.encode_records(content, lambda record: {"at": [len(record), "x"]})
    assert encoded == [
        ["r", records.ARRAYS, {"at": [1, "x"]}],
        ["m", records.METRICS, {"a": 1}],
    ]
    given: list[object] = []

    def fetch(payload: object) -> ArrayRecord:
        given.append(payload)
        return content["r"]  # type: ignore[return-value]

    assert records.decode_records(through_msgpack(encoded), fetch)["r"] is content["r"]
    assert given == [{"at": [1, "x"]}]


def test_encoding_changes_nothing_in_the_records() -> None:
    content = RecordDict(
        {"m": MetricRecord({"a": 2**70, "l": [2**70, 1]}), "c": ConfigRecord({"s": ["é"]})}
    )
    records.encode_records(content, lambda record: None)
    assert content["m"] == {"a": 2**70, "l": [2**70, 1]}
    assert content["c"] == {"s": ["é"]}


def test_errors_of_fetch_come_out_unchanged() -> None:
    def fetch(payload: object) -> ArrayRecord:
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        records.decode_records([["r", records.ARRAYS, 0]], fetch)


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (records.METRICS, {"loss": "high"}),
        (records.METRICS, {"loss": True}),
        (records.CONFIG, {"loss": None}),
        (records.CONFIG, [1]),
        ("?", {}),
    ],
)
def test_errors_name_the_record(kind: str, payload: object) -> None:
    with pytest.raises(ParcelError, match="'mine'"):
        records.decode_records([["mine", kind, payload]], lambda number: ArrayRecord())
