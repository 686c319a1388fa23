"""Clients that are slow on purpose are cut, and hold up nobody."""

import logging
import socket
import threading
from collections.abc import Iterator

import pytest
from hubs import TOKENS, FolderShelf, Hub, exchange_bytes, gives, read_answer, was_cut

from flwr.log import FLOWER_LOGGER
from flwr.transport import fleet
from flwr.transport.call import Access
from flwr.transport.incoming import Limits

NODE = b"authorization: Bearer " + TOKENS[Access.NODE].encode() + b"\r\n"
GET = b"GET /v1/objects/%s HTTP/1.1\r\nhost: h\r\n%s\r\n"
HEAD = (
    b"POST /v1/fleet/hello HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\n\r\n"
)
HELLO = HEAD % 18 + b'{"instance": "me"}'


@pytest.fixture
def hasty(shelf: FolderShelf) -> Iterator[Hub]:
    limits = Limits(
        head_seconds=0.3,
        stall_seconds=1.0,
        slowest=1000,
        idle_seconds=0.5,
        transfers=1,
        turn_seconds=0.2,
    )
    with Hub(shelf, limits=limits) as hub:
        hub.answers[fleet.HELLO.path] = gives(fleet.Welcome(1, 1))
        yield hub


def drip(sock: socket.socket, piece: bytes, until: threading.Event) -> None:
    try:
        while not until.wait(0.05):
            sock.sendall(piece)
    except OSError:
        pass


@pytest.mark.parametrize("begun", [b"", b"POST /v1/fl", HEAD % 9 + b'{"i', HELLO + b"POST /"])
def test_a_request_that_stops_in_its_middle_is_cut(hasty: Hub, begun: bytes) -> None:
    with hasty.connect() as sock:
        sock.sendall(begun)
        if begun.startswith(HELLO):
            assert read_answer(sock)[0] == 200
        assert was_cut(sock)


@pytest.mark.parametrize(
    ("begun", "piece"), [(b"GET /health HTTP/1.1\r\n", b"x: y\r\n"), (HEAD % 10**6, b" ")]
)
def test_a_request_that_drips_is_cut(hasty: Hub, begun: bytes, piece: bytes) -> None:
    done = threading.Event()
    with hasty.connect() as sock:
        sock.sendall(begun)
        dripping = threading.Thread(target=drip, args=(sock, piece, done))
        dripping.start()
        assert was_cut(sock)
        done.set()
        dripping.join()


def test_a_connection_that_asks_for_nothing_more_is_closed(hasty: Hub) -> None:
    with hasty.connect() as sock:
        assert exchange_bytes(sock, HELLO)[0] == 200
        assert was_cut(sock)


def test_a_request_in_two_pieces_is_answered(hasty: Hub) -> None:
    with hasty.connect() as sock:
        for half in (HELLO[:30], HELLO[30:]):
            sock.sendall(half)
            threading.Event().wait(0.1)
        assert read_answer(sock)[0] == 200


def test_a_stalled_upload_is_cut_and_what_came_is_kept(hasty: Hub, shelf: FolderShelf) -> None:
    head = (
        b"PUT /v1/objects/%s?size=1000000 HTTP/1.1\r\nhost: h\r\n%scontent-length: 1000000\r\n\r\n"
    )
    with hasty.connect() as sock:
        sock.sendall(head % (b"a" * 64, NODE) + b"x" * 1000)
        assert was_cut(sock)
        sock.close()
    with hasty.link() as link:  # whose turn it is only when the first one's is over
        link.upload(shelf.put(b"other"), memoryview(b"other"))
    assert shelf.partial("a" * 64).read_bytes() == b"x" * 1000


def test_a_reader_that_does_not_read_is_cut_and_gives_its_turn_away(
    hasty: Hub, shelf: FolderShelf
) -> None:
    object_id = shelf.put(bytes(50_000_000))
    with hasty.connect() as sock:
        sock.sendall(
            b"GET /v1/objects/%s HTTP/1.1\r\nhost: h\r\n%s\r\n" % (object_id.encode(), NODE)
        )
        with hasty.link() as link:
            link.download(shelf.put(b"small"), memoryview(bytearray(5)))
        received = 0
        try:
            while more := sock.recv(1 << 20):
                received += len(more)
        except ConnectionResetError:
            pass
    assert received < 50_000_000


def test_who_waits_for_a_turn_is_asked_to_come_back_and_told_that_the_server_is_well(
    hasty: Hub, shelf: FolderShelf
) -> None:
    object_id = shelf.put(bytes(50_000_000)).encode()
    get = GET % (object_id, NODE)
    probe = b"HEAD /v1/objects/%s HTTP/1.1\r\nhost: h\r\n%s\r\n" % (b"b" * 64, NODE)
    with hasty.connect() as first, hasty.connect() as second:
        first.sendall(get)
        assert first.recv(4)
        second.sendall(probe)
        answer = second.recv(4096)
    assert b" 503 " in answer.partition(b"\r\n")[0]
    assert b"retry-after: 1" in answer.lower()


def test_dropped_connections_and_nonsense_leave_no_trace_in_the_log(
    hub: Hub, shelf: FolderShelf, caplog: pytest.LogCaptureFixture
) -> None:
    FLOWER_LOGGER.setLevel(logging.INFO)
    object_id = shelf.put(bytes(20_000_000)).encode()
    upload = b"PUT /v1/objects/%s?size=9 HTTP/1.1\r\nhost: h\r\n%scontent-length: 9\r\n\r\nxx"
    for nonsense in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)),
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/fleet/hello HTTP/1.1\r\ncontent-length: many\r\n\r\n",
        HEAD % 10**6 + b"{",
        GET % (object_id, NODE),
        upload % (b"c" * 64, NODE),
    ):
        with hub.connect() as sock:
            sock.sendall(nonsense)
            threading.Event().wait(0.05)
    hub.answers[fleet.HELLO.path] = gives(fleet.Welcome(1, 1))
    with hub.link() as link:
        assert link.call(fleet.HELLO, fleet.Hello("me")).node_id == 1
    assert caplog.records == []
