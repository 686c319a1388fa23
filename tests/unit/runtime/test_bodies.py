"""Bodies of calls: what travels inside, what as objects, and what hostile ones come to."""

import numpy as np
import pytest
from blake3 import blake3

from flwr.app import ArrayRecord, ConfigRecord, RecordDict, memory
from flwr.errors import ParcelError
from flwr.runtime import bodies
from flwr.transport.parts import BODY_BYTES, INLINE_BYTES, Body, Part
from flwr.wire.content import seal_content


class Objects(dict[str, bytes]):
    """Objects in memory."""

    def keep(self, object_id: str, data: memoryview) -> None:
        self[object_id] = bytes(data)

    def fetch(self, object_id: str, into: memoryview) -> None:
        into[:] = self[object_id]


def content_of(*counts: int) -> RecordDict:
    arrays = [np.full(count, number, np.uint8) for number, count in enumerate(counts, 1)]
    return RecordDict({"arrays": ArrayRecord(arrays), "config": ConfigRecord({"lr": 0.1})})


def packed(content: RecordDict) -> tuple[Body, Objects]:
    objects = Objects()
    return bodies.pack(seal_content(content), objects.keep), objects


def test_small_parts_travel_inside_and_large_ones_as_objects() -> None:
    content = content_of(INLINE_BYTES, 10, INLINE_BYTES * 2)
    body, objects = packed(content)
    assert [bool(part.object_id) for part in body.parts] == [False, True, False, True]
    assert [part.nbytes for part in body.parts if part.object_id] == [
        INLINE_BYTES,
        INLINE_BYTES * 2,
    ]
    for object_id, data in objects.items():
        assert object_id == blake3(data).hexdigest()
    assert bodies.unpack(body, objects.fetch) == content


def test_what_is_beyond_the_limit_of_a_body_becomes_objects_too() -> None:
    large = INLINE_BYTES - 1
    records = {str(n): ArrayRecord([np.full(large, n, np.uint8)]) for n in range(20)}
    body, objects = packed(RecordDict(records))
    assert sum(len(part.data) for part in body.parts) <= BODY_BYTES
    assert len(objects) == 20 - BODY_BYTES // large + (BODY_BYTES % large < len(body.parts[0].data))
    assert bodies.unpack(body, objects.fetch) == RecordDict(records)


def test_a_long_head_is_an_object() -> None:
    content = RecordDict({"c": ConfigRecord({"text": "x" * INLINE_BYTES})})
    body, objects = packed(content)
    assert body.parts[0].object_id
    assert bodies.unpack(body, objects.fetch) == content


def test_a_record_is_received_into_one_piece_of_memory() -> None:
    content = content_of(INLINE_BYTES, 10, INLINE_BYTES * 2)
    body, objects = packed(content)
    places: list[np.ndarray] = []

    def fetch(object_id: str, into: memoryview) -> None:
        places.append(np.frombuffer(into, np.uint8))
        objects.fetch(object_id, into)

    record = bodies.unpack(body, fetch)["arrays"]
    assert all(np.shares_memory(memory.packed(record), place) for place in places)


def test_equal_bodies_have_one_id() -> None:
    one, other = packed(content_of(5))[0], packed(content_of(5))[0]
    assert bodies.body_id(one) == bodies.body_id(other)
    assert bodies.body_id(one) != bodies.body_id(packed(content_of(6))[0])


def test_the_size_of_a_body_is_that_of_its_parts() -> None:
    content = content_of(INLINE_BYTES, 10)
    assert bodies.nbytes_of(packed(content)[0]) == seal_content(content).nbytes


@pytest.mark.parametrize(
    ("parts", "match"),
    [
        ([], "empty"),
        ([Part(data=b"junk")], "no content|less than"),
        ([Part(object_id="a" * 64, nbytes=2**70)], "no memory"),
        ([Part(object_id="a" * 64, nbytes=-1)], "no memory"),
    ],
)
def test_what_is_no_content_is_refused(parts: list[Part], match: str) -> None:
    with pytest.raises(ParcelError, match=match):
        bodies.unpack(Body(parts), lambda *_: None)


def test_parts_that_are_missing_or_of_another_length_are_refused() -> None:
    body, objects = packed(content_of(INLINE_BYTES))
    head, frame = body.parts
    with pytest.raises(ParcelError, match="has 1 frames, not 0"):
        bodies.unpack(Body([head]), objects.fetch)
    with pytest.raises(ParcelError, match="has 1 frames, not 2"):
        bodies.unpack(Body([head, frame, frame]), objects.fetch)
    longer = Part(object_id=frame.object_id, nbytes=frame.nbytes + 1)
    with pytest.raises(ParcelError, match="65537 bytes, not 65536"):
        bodies.unpack(Body([head, longer]), objects.fetch)
