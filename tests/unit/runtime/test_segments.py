import os
from collections.abc import Iterator

import numpy as np
import pytest

from flwr.runtime.segments import Attached, Held, Segment, SegmentPool
from flwr.runtime.spill import SpillFile


@pytest.fixture(autouse=True, params=["memfd", "file"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "file":
        monkeypatch.setenv("FLWR_SHM", "file")
    else:
        monkeypatch.delenv("FLWR_SHM", raising=False)


@pytest.fixture
def pool() -> Iterator[SegmentPool]:
    pool = SegmentPool()
    yield pool
    pool.close()


def test_both_sides_see_the_same_bytes() -> None:
    ours = Segment.create(1000, 7)
    attached = Attached()
    attached.add(7, os.dup(ours.fd), ours.nbytes)
    ours.open(writable=True)[3] = 42
    assert attached[7].open()[3] == 42
    assert not attached[7].open().flags.writeable
    ours.close()


def test_a_segment_is_in_use_while_anything_of_it_lives() -> None:
    segment = Segment.create(100, 1)
    assert not segment.in_use
    view = segment.open(10, 20)[5:6].view(np.int8)
    assert segment.in_use
    del view
    assert not segment.in_use
    held = Held(segment, 10)
    assert segment.in_use
    del held
    assert not segment.in_use
    segment.close()


def test_free_segments_are_reused_and_used_ones_never(pool: SegmentPool) -> None:
    first = pool.take(10_000)
    view = first.open()
    second = pool.take(10_000)
    assert second is not first
    del view
    second_view = second.open()
    assert pool.take(9_000) is first
    assert second_view is not None


def test_a_segment_that_is_mapped_already_is_preferred(pool: SegmentPool) -> None:
    segments = [pool.take(10_000) for _ in range(1)]
    views = [segments[0].open()]
    segments.append(pool.take(10_000))
    views.clear()
    assert pool.take(10_000, prefer={segments[1].key}) is segments[1]
    assert pool.take(10_000, prefer={segments[0].key}) is segments[0]


def test_a_much_larger_segment_is_not_wasted_on_little(pool: SegmentPool) -> None:
    large = pool.take(10_000_000)
    small = pool.take(10_000)
    assert small is not large
    assert large.retired  # its memory is given back: sizes have changed


def test_retired_segments_stay_readable_but_are_not_handed_out(pool: SegmentPool) -> None:
    segment = pool.take(5000)
    segment.open(writable=True)[:] = 9
    held = Held(segment, 5000)
    pool.retire(segment)
    assert list(pool) == []
    assert held.open().sum() == 9 * 5000


def test_a_held_record_moves_without_changing(pool: SegmentPool) -> None:
    segment = pool.take(70_000)
    segment.open(writable=True)[:70_000] = np.arange(70_000) % 251
    held = Held(segment, 60_000, offset=10)
    before = held.open().copy()
    held.move(SpillFile().put)
    assert not segment.in_use
    segment.open(writable=True)[:] = 0
    assert np.array_equal(held.open(), before)
    assert not held.open().flags.writeable


def test_regions_of_the_spill_file_are_reused() -> None:
    file = SpillFile()
    kept = file.put(np.full(100_000, 1, np.uint8))
    for value in range(20):
        again = file.put(np.full(100_000, value, np.uint8))
        assert (again.open() == value).all()
        del again
    assert file.nbytes <= 3 * 131_072
    assert (kept.open() == 1).all()


def test_a_view_keeps_its_region() -> None:
    file = SpillFile()
    view = file.put(np.full(5000, 3, np.uint8)).open()[10:20]
    other = file.put(np.full(5000, 4, np.uint8))
    assert (view == 3).all()
    assert (other.open() == 4).all()


def test_nothing_can_be_spilled_too() -> None:
    assert SpillFile().put(np.empty(0, np.uint8)).open().size == 0
