"""Objects, there and back, whole and broken."""

import asyncio
import os
import random
from pathlib import Path

import pytest
from blake3 import blake3
from hubs import FolderShelf, Hub, exchange_bytes
from relay import Relay

from flwr.errors import RefusedError
from flwr.transport import objects
from flwr.transport.call import Access, Caller, Refusal

LARGE = random.Random(1).randbytes(5_000_001)
LARGE_ID = blake3(LARGE).hexdigest()


def into(size: int) -> memoryview:
    return memoryview(bytearray(size))


@pytest.mark.parametrize("size", [0, 1, 65536, 1 << 20, 5_000_001])
def test_an_object_comes_back_as_it_was_sent(hub: Hub, shelf: FolderShelf, size: int) -> None:
    data = LARGE[:size]
    object_id = blake3(data).hexdigest()
    back = into(size)
    with hub.link() as link:
        link.upload(object_id, memoryview(data))
        link.download(object_id, back)
    assert back == data
    assert shelf.whole(object_id).read_bytes() == data


def test_an_object_is_sent_from_a_file(hub: Hub, shelf: FolderShelf, tmp_path: Path) -> None:
    (tmp_path / "object").write_bytes(LARGE)
    with hub.link() as link:
        link.upload(LARGE_ID, tmp_path / "object")
    assert shelf.whole(LARGE_ID).read_bytes() == LARGE


def test_memory_of_any_item_type_is_sent_as_its_bytes(hub: Hub, shelf: FolderShelf) -> None:
    numbers = memoryview(LARGE[:800]).cast("d")
    back = memoryview(bytearray(800)).cast("d")
    object_id = blake3(LARGE[:800]).hexdigest()
    with hub.link() as link:
        link.upload(object_id, numbers)
        link.download(object_id, back)
    assert back.tobytes() == LARGE[:800]


def test_an_object_that_is_there_is_not_sent_again(hub: Hub, shelf: FolderShelf) -> None:
    with Relay(hub.port) as relay, hub.link(port=relay.port) as link:
        link.upload(LARGE_ID, memoryview(LARGE))
        link.upload(LARGE_ID, memoryview(LARGE))
    assert shelf.received == len(LARGE)
    assert relay.connections == 1


def test_an_upload_that_was_cut_goes_on_where_it_broke(hub: Hub, shelf: FolderShelf) -> None:
    with Relay(hub.port, up=[3_000_000]) as relay, hub.link(port=relay.port) as link:
        link.upload(LARGE_ID, memoryview(LARGE))
    assert shelf.whole(LARGE_ID).read_bytes() == LARGE
    assert shelf.offsets[0] == 0
    assert shelf.offsets[1] > 0
    assert relay.passed["up"] < len(LARGE) * 1.5


def test_an_upload_from_a_file_goes_on_too(hub: Hub, shelf: FolderShelf, tmp_path: Path) -> None:
    (tmp_path / "object").write_bytes(LARGE)
    with Relay(hub.port, up=[2_000_000, 1_500_000]) as relay, hub.link(port=relay.port) as link:
        link.upload(LARGE_ID, tmp_path / "object")
    assert shelf.whole(LARGE_ID).read_bytes() == LARGE


def test_an_upload_whose_last_answer_was_lost_is_done(hub: Hub, shelf: FolderShelf) -> None:
    with Relay(hub.port, down=[150]) as relay, hub.link(port=relay.port) as link:
        link.upload(LARGE_ID, memoryview(LARGE))
    assert shelf.whole(LARGE_ID).read_bytes() == LARGE


def test_a_download_that_was_cut_goes_on_where_it_broke(hub: Hub, shelf: FolderShelf) -> None:
    back = into(len(LARGE))
    shelf.put(LARGE)
    with (
        Relay(hub.port, down=[1_000_000, 200, 2_000_000]) as relay,
        hub.link(port=relay.port) as link,
    ):
        link.download(LARGE_ID, back)
    assert back == LARGE
    assert relay.passed["down"] < len(LARGE) + 10_000
    assert relay.connections == 4


def test_a_download_whose_range_a_proxy_ignores_begins_anew(
    hub: Hub, shelf: FolderShelf, monkeypatch: pytest.MonkeyPatch
) -> None:

    monkeypatch.setattr(objects, "_range", lambda request, size: (0, size))
    back = into(len(LARGE))
    shelf.put(LARGE)
    with Relay(hub.port, down=[1_000_000]) as relay, hub.link(port=relay.port) as link:
        link.download(LARGE_ID, back)
    assert back == LARGE


def test_what_has_another_hash_is_refused_and_not_kept(hub: Hub, shelf: FolderShelf) -> None:
    with hub.link() as link, pytest.raises(RefusedError, match="another object") as caught:
        link.upload("0" * 64, memoryview(LARGE))
    assert caught.value.code == Refusal.WRONG_HASH
    assert list(shelf.folder.iterdir()) == []


def test_a_file_that_was_changed_over_there_is_noticed(hub: Hub, shelf: FolderShelf) -> None:
    shelf.put(LARGE)
    shelf.whole(LARGE_ID).write_bytes(LARGE[:-1] + b"!")
    with hub.link() as link, pytest.raises(RefusedError, match="another hash") as caught:
        link.download(LARGE_ID, into(len(LARGE)))
    assert caught.value.code == Refusal.WRONG_HASH


@pytest.mark.parametrize("size", [0, len(LARGE) - 1, len(LARGE) + 1])
def test_an_object_of_another_length_is_refused(hub: Hub, shelf: FolderShelf, size: int) -> None:
    shelf.put(LARGE)
    with hub.link() as link, pytest.raises(RefusedError, match="has 5000001 bytes, not"):
        link.download(LARGE_ID, into(size))


def test_a_full_disk_is_told_and_the_upload_goes_on_when_there_is_room(
    hub: Hub, shelf: FolderShelf
) -> None:
    shelf.room = 3 << 20
    with hub.link() as link:
        with pytest.raises(RefusedError, match="no space is left") as caught:
            link.upload(LARGE_ID, memoryview(LARGE))
        assert (caught.value.code, caught.value.hint) == (Refusal.DISK_FULL, "make some")
        kept = shelf.partial(LARGE_ID).stat().st_size
        shelf.room = 1 << 62
        link.upload(LARGE_ID, memoryview(LARGE))
    assert kept > 0
    assert shelf.offsets == [0, kept]


def test_an_object_that_is_not_there_is_refused(hub: Hub) -> None:
    with hub.link() as link, pytest.raises(RefusedError, match="there is no f{64}") as caught:
        link.download("f" * 64, into(1))
    assert caught.value.code == Refusal.UNKNOWN_OBJECT


def test_an_upload_from_a_wrong_offset_is_asked_about_again(
    hub: Hub, shelf: FolderShelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([4_000_000, 0])  # as when somebody's partial object has just gone

    async def offset(caller: Caller, object_id: str) -> int | None:
        return next(answers)

    monkeypatch.setattr(shelf, "offset", offset)
    with hub.link() as link:
        link.upload(LARGE_ID, memoryview(LARGE))
    assert shelf.whole(LARGE_ID).read_bytes() == LARGE


def test_a_shelf_that_always_finds_the_offset_wrong_is_not_asked_for_ever(
    hub: Hub, shelf: FolderShelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def offset(caller: Caller, object_id: str) -> int | None:
        return 4_000_000

    monkeypatch.setattr(shelf, "offset", offset)
    with hub.link() as link, pytest.raises(RefusedError, match="only 0 bytes are here"):
        link.upload(LARGE_ID, memoryview(LARGE))


def test_objects_are_for_those_who_may_make_the_calls(hub: Hub, shelf: FolderShelf) -> None:
    object_id = shelf.put(b"data")
    for access in (Access.NODE, Access.APP):
        back = into(4)
        with hub.link(access) as link:
            link.download(object_id, back)
        assert back == b"data"
    for access in (Access.CLIENT, Access.OPEN):
        with hub.link(access) as link:
            with pytest.raises(RefusedError) as caught:
                link.download(object_id, into(4))
            assert caught.value.code == Refusal.NOT_ALLOWED
            with pytest.raises(RefusedError) as caught:  # by the answer to HEAD, without a body
                link.upload(object_id, memoryview(b"data"))
            assert caught.value.code == Refusal.NOT_ALLOWED


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("GET /v1/objects/short", 400),
        ("GET /v1/objects/" + "Z" * 64, 400),
        ("GET /v1/objects/../../etc/passwd", 400),
        ("PUT /v1/objects/" + "0" * 64, 400),
        ("PUT /v1/objects/" + "0" * 64 + "?size=-1", 400),
        ("PUT /v1/objects/" + "0" * 64 + "?size=1&offset=x", 400),
        ("PUT /v1/objects/" + "0" * 64 + "?size=99999999999999999999", 400),
        ("DELETE /v1/objects/" + "0" * 64, 404),
    ],
)
def test_requests_that_make_no_sense_are_refused(hub: Hub, line: str, status: int) -> None:
    head = f"{line} HTTP/1.1\r\nhost: h\r\nauthorization: Bearer node-token\r\n\r\n"
    with hub.connect() as sock:
        assert exchange_bytes(sock, head.encode())[0] == status


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        ("bytes=0-3", (206, "bytes 0-3/10", b"0123")),
        ("bytes=6-", (206, "bytes 6-9/10", b"6789")),
        ("bytes=6-99", (206, "bytes 6-9/10", b"6789")),
        ("bytes=-2", (206, "bytes 8-9/10", b"89")),
        ("bytes=0-", (200, None, b"0123456789")),
    ],
)
def test_ranges(
    hub: Hub, shelf: FolderShelf, span: str, expected: tuple[int, str | None, bytes]
) -> None:
    object_id = shelf.put(b"0123456789")
    with hub.connect() as sock:
        status, headers, body = exchange_bytes(sock, get(object_id, span))
    assert (status, headers.get("content-range"), body) == expected


@pytest.mark.parametrize("span", ["bytes=10-", "bytes=5-4", "bytes=x-", "lines=1-2"])
def test_ranges_without_a_byte_are_refused(hub: Hub, shelf: FolderShelf, span: str) -> None:
    object_id = shelf.put(b"0123456789")
    with hub.connect() as sock:
        assert exchange_bytes(sock, get(object_id, span))[0] == 400


def get(object_id: str, span: str) -> bytes:
    return (
        f"GET /v1/objects/{object_id} HTTP/1.1\r\nhost: h\r\nrange: {span}\r\n"
        "authorization: Bearer node-token\r\n\r\n"
    ).encode()


def test_the_files_of_downloads_are_closed_even_of_those_that_broke_off(
    hub: Hub, shelf: FolderShelf
) -> None:
    object_id = shelf.put(bytes(30_000_000))
    before = open_files()
    for _ in range(5):
        with hub.connect() as sock:
            sock.sendall(get(object_id, "bytes=0-"))
            sock.recv(100_000)
    with hub.link() as link:
        link.download(object_id, into(30_000_000))
    assert len(shelf.opened) == 6
    while open_files() - before:  # the last thread may just be reading
        hub.run(pause())


def open_files() -> set[str]:
    files = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            files.add(str(Path(f"/proc/self/fd/{number}").readlink()))
        except FileNotFoundError:
            continue
    return {file for file in files if "/shelf/" in file}


async def pause() -> None:
    await asyncio.sleep(0.01)
