"""The folder of objects: whole or not there, and what came of an upload is kept."""

import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from blake3 import blake3

from flwr.errors import DiskFullError, ObjectNotFoundError, StoreError, WrongHashError
from flwr.store.blobs import BlobDir

DATA = os.urandom(300_000)
ID = blake3(DATA).hexdigest()
ME = "run-1"


@pytest.fixture
def blobs(tmp_path: Path) -> BlobDir:
    return BlobDir(tmp_path / "objects", reserve=0)


def put(blobs: BlobDir, data: bytes, uploader: str = ME) -> str:
    upload = blobs.begin(blake3(data).hexdigest(), uploader, len(data))
    upload.write(data[upload.offset :])
    upload.verify()
    blobs.place(upload)
    blobs.settled(upload.object_id)
    return upload.object_id


def read(blobs: BlobDir, object_id: str) -> bytes:
    file, size = blobs.open(object_id)
    try:
        return os.pread(file, size + 1, 0)
    finally:
        os.close(file)


@pytest.mark.parametrize("size", [0, 1, 300_000, 20 << 20])
def test_what_is_uploaded_in_pieces_is_read_back(blobs: BlobDir, size: int) -> None:
    data = os.urandom(1 << 16) * (size >> 16) + os.urandom(size & 0xFFFF)
    upload = blobs.begin(blake3(data).hexdigest(), ME, size)
    for start in range(0, size, 1 << 20):
        upload.write(memoryview(data)[start : start + (1 << 20)])
    assert upload.is_complete
    upload.verify()
    blobs.place(upload)
    assert read(blobs, upload.object_id) == data
    assert blobs.ids() == [upload.object_id]


def test_an_upload_goes_on_behind_what_is_here(blobs: BlobDir) -> None:
    upload = blobs.begin(ID, ME, len(DATA))
    upload.write(DATA[:100_000])
    upload.close()
    assert blobs.partial_size(ID, ME) == 100_000
    assert BlobDir(blobs.path, reserve=0).partial_size(ID, ME) == 100_000
    again = blobs.begin(ID, ME, len(DATA))
    assert (again.offset, again.is_complete) == (100_000, False)
    again.write(DATA[100_000:])
    again.verify()
    blobs.place(again)
    assert read(blobs, ID) == DATA
    assert blobs.partial_size(ID, ME) == 0


def test_an_object_is_not_there_before_it_is_whole(blobs: BlobDir) -> None:
    upload = blobs.begin(ID, ME, len(DATA))
    upload.write(DATA[:-1])
    assert not blobs.has(ID)
    with pytest.raises(ObjectNotFoundError, match=ID):
        blobs.open(ID)
    upload.close()


def test_damage_to_what_came_before_a_break_is_noticed(blobs: BlobDir) -> None:
    upload = blobs.begin(ID, ME, len(DATA))
    upload.write(DATA[:100_000])
    upload.close()
    partial = blobs.partial_path(ID, ME)
    partial.write_bytes(b"?" + partial.read_bytes()[1:])
    again = blobs.begin(ID, ME, len(DATA))
    again.write(DATA[again.offset :])
    with pytest.raises(WrongHashError, match="another one"):
        again.verify()
    assert blobs.partial_size(ID, ME) == 0
    assert put(blobs, DATA) == ID


def test_more_bytes_than_announced_are_refused(blobs: BlobDir) -> None:
    upload = blobs.begin(ID, ME, 10)
    upload.write(DATA[:10])
    with pytest.raises(WrongHashError, match="more than the announced 10 bytes"):
        upload.write(DATA[10:11])
    upload.close()
    with pytest.raises(WrongHashError, match="was to have 5 bytes"):
        blobs.begin(ID, ME, 5)
    assert blobs.partial_size(ID, ME) == 0


def test_two_uploaders_of_one_object_do_not_meet(blobs: BlobDir) -> None:
    mine, theirs = blobs.begin(ID, "run-1", len(DATA)), blobs.begin(ID, "node-2", len(DATA))
    mine.write(DATA[:1000])
    theirs.write(DATA)
    theirs.verify()
    blobs.place(theirs)
    assert blobs.partial_size(ID, "run-1") == 1000
    mine.write(DATA[1000:])
    mine.verify()
    blobs.place(mine)
    assert read(blobs, ID) == DATA


def test_an_upload_that_begins_anew_ends_the_older_one(blobs: BlobDir) -> None:
    older = blobs.begin(ID, ME, len(DATA))
    older.write(DATA[:1000])
    newer = blobs.begin(ID, ME, len(DATA))
    assert newer.offset == 1000
    with pytest.raises(StoreError, match="is closed"):
        older.write(DATA[1000:])
    older.close()
    newer.write(DATA[1000:])
    newer.verify()
    blobs.place(newer)
    assert read(blobs, ID) == DATA


def test_many_beginnings_at_once_leave_one_upload_that_works(blobs: BlobDir) -> None:
    barrier = threading.Barrier(8)

    def attempt(_: int) -> bool:
        barrier.wait()
        for _ in range(20):
            upload = blobs.begin(ID, ME, len(DATA))
            try:
                upload.write(DATA[upload.offset : upload.offset + 5000])
            except (StoreError, WrongHashError):
                upload.close()
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(attempt, range(8)))
    assert put(blobs, DATA) == ID
    assert read(blobs, ID) == DATA


# --- no room -----------------------------------------------------------------------------------


def test_a_full_disk_keeps_what_came_and_the_upload_goes_on_when_there_is_room(
    blobs: BlobDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = 150_000
    write = os.pwrite

    def cramped(file: int, data: memoryview, offset: int) -> int:
        if offset >= room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(file, data[: room - offset], offset)

    other = put(blobs, b"other")
    upload = blobs.begin(ID, ME, len(DATA))
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", cramped)
        with pytest.raises(DiskFullError, match=f"(?s){ID}.*Make room"):
            upload.write(DATA)
    upload.close()
    assert blobs.partial_size(ID, ME) == room
    assert read(blobs, other) == b"other"
    again = blobs.begin(ID, ME, len(DATA))
    assert again.offset == room
    again.write(DATA[room:])
    again.verify()
    blobs.place(again)
    assert read(blobs, ID) == DATA


def test_uploads_leave_the_reserve_alone(blobs: BlobDir) -> None:
    careful = BlobDir(blobs.path, reserve=1 << 60)
    with pytest.raises(DiskFullError, match="kept for the database"):
        careful.begin(ID, ME, len(DATA))
    assert careful.partial_size(ID, ME) == 0
    upload = careful.begin(ID, ME, 0)
    upload.size = len(DATA)
    with pytest.raises(DiskFullError, match="no room"):
        upload.write(DATA)
    upload.close()


def test_an_object_larger_than_the_disk_is_refused_at_once(blobs: BlobDir) -> None:
    with pytest.raises(DiskFullError):
        blobs.begin(ID, ME, 1 << 60)


def test_a_folder_that_cannot_be_made_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "objects").write_text("in the way")
    with pytest.raises(StoreError, match="objects"):
        BlobDir(tmp_path / "objects")


# --- removal -----------------------------------------------------------------------------------


def test_a_removed_object_is_gone_at_once_and_its_room_comes_back(blobs: BlobDir) -> None:
    put(blobs, DATA)
    blobs.remove([ID, "ab" * 32])
    assert blobs.ids() == []
    assert len(list((blobs.path / "gone").iterdir())) == 1
    blobs.empty_gone()
    assert list((blobs.path / "gone").iterdir()) == []


def test_an_object_on_its_way_to_its_row_is_not_removed(blobs: BlobDir) -> None:
    uploads = [blobs.begin(ID, uploader, len(DATA)) for uploader in ("run-1", "run-2")]
    for upload in uploads:
        upload.write(DATA)
        upload.verify()
        blobs.place(upload)
    blobs.settled(ID)
    blobs.remove([ID])
    assert read(blobs, ID) == DATA
    blobs.settled(ID)
    blobs.remove([ID])
    assert not blobs.has(ID)


def test_a_sweep_spares_what_is_needed_and_what_is_on_its_way(blobs: BlobDir) -> None:
    kept, unknown = put(blobs, b"kept"), put(blobs, b"unknown")
    going_on = blobs.begin("ab" * 32, ME, 10)
    going_on.write(b"12345")
    blobs.begin("cd" * 32, ME, 10).close()
    for path in (blobs.path / "partial").iterdir():
        os.utime(path, (1.0, 1.0))
    blobs.begin("ef" * 32, ME, 10).close()
    blobs.sweep({kept}, older_than=1_000.0)
    assert blobs.ids() == [kept]
    assert not blobs.has(unknown)
    left = {path.name.split(".")[0] for path in (blobs.path / "partial").iterdir()}
    assert left == {"ab" * 32, "ef" * 32}
    going_on.write(b"67890")
    going_on.close()


def test_the_uploads_of_one_uploader_go_and_end(blobs: BlobDir) -> None:
    mine, theirs = blobs.begin(ID, "run-1", 10), blobs.begin(ID, "run-11", 10)
    mine.write(b"12345")
    theirs.write(b"12345")
    blobs.drop_partials("run-1")
    with pytest.raises(StoreError, match="closed"):
        mine.write(b"67890")
    assert (blobs.partial_size(ID, "run-1"), blobs.partial_size(ID, "run-11")) == (0, 5)
    theirs.close()
