"""Servers that are not there, go away, come back; and links that are closed."""

import asyncio
import itertools
import logging
import random
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hubs import FolderShelf, Hub, gives
from relay import Relay

from flwr.errors import AddressError, RefusedError, UnreachableError
from flwr.log import FLOWER_LOGGER
from flwr.transport import fleet, retry
from flwr.transport.address import Address
from flwr.transport.call import Caller, Failure, Refusal
from flwr.transport.client import Link
from flwr.transport.retry import delays
from flwr.transport.server import Listen, serve

WELCOME = fleet.Welcome(1, 1)


def greet(link: Link, **options: Any) -> fleet.Welcome:
    return link.call(fleet.HELLO, fleet.Hello("me"), **options)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def test_waits_grow_to_one_second_and_after_ten_to_three() -> None:
    longest = list(itertools.islice(delays(lambda: 1.0), 16))
    assert longest == [0.1, 0.2, 0.4, 0.8, *([1.0] * 9), 3.0, 3.0, 3.0]
    assert all(0 <= wait <= 3 for wait in itertools.islice(delays(), 100))


def test_waiting_draws_nothing_from_the_generator_that_apps_seed() -> None:
    random.seed(1)
    before = random.getstate()
    list(itertools.islice(delays(), 10))
    assert random.getstate() == before


def test_nobody_there_is_told_with_address_and_cause() -> None:
    port = free_port()
    link = Link(f"127.0.0.1:{port}", tls=None, patience=0)
    with link, pytest.raises(UnreachableError) as caught:
        greet(link)
    assert f"Cannot reach 127.0.0.1:{port}: connection refused." in str(caught.value)


def test_a_name_that_is_not_known_is_told() -> None:
    link = Link("nowhere.invalid:9092", tls=None, patience=0)
    with link, pytest.raises(UnreachableError, match="name 'nowhere.invalid' is not known"):
        greet(link)


def test_the_patience_of_a_call_goes_before_that_of_the_link() -> None:
    link = Link(f"127.0.0.1:{free_port()}", tls=None, patience=600)
    with link, pytest.raises(UnreachableError):
        greet(link, patience=0)


def test_a_server_that_comes_later_is_found(shelf: FolderShelf) -> None:
    port = free_port()
    with Link(f"127.0.0.1:{port}", tls=None, patience=60) as link, ThreadPoolExecutor() as threads:
        answer = threads.submit(greet, link)
        threading.Event().wait(0.3)
        with Hub(shelf, address=Address("127.0.0.1", port)) as hub:
            hub.answers[fleet.HELLO.path] = gives(WELCOME)
            assert answer.result(30) == WELCOME


def test_a_call_survives_a_restart_of_the_server(shelf: FolderShelf, caplog: Any) -> None:
    parked = threading.Event()

    async def park(question: Any, caller: Caller) -> Any:
        parked.set()
        await asyncio.sleep(60)

    first = Hub(shelf).__enter__()
    first.answers[fleet.HELLO.path] = park
    with first.link(patience=60) as link, ThreadPoolExecutor() as threads:
        answer = threads.submit(greet, link, wait=60)
        assert parked.wait(10)
        first.__exit__()
        second = Hub(shelf, address=Address("127.0.0.1", first.port))
        second.answers[fleet.HELLO.path] = gives(WELCOME)
        with second:
            assert answer.result(30) == WELCOME
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("passed", [0, 1, 12, 17, 40, 120, 160])
def test_an_answer_that_was_cut_anywhere_is_asked_for_again(hub: Hub, passed: int) -> None:
    hub.answers[fleet.HELLO.path] = gives(WELCOME)
    with Relay(hub.port, down=[passed] * 2) as relay, hub.link(port=relay.port) as link:
        assert greet(link) == WELCOME


def test_a_server_that_is_busy_for_a_moment_is_asked_again(hub: Hub) -> None:
    asked = itertools.count()

    async def busy(question: Any, caller: Caller) -> Any:
        if next(asked) < 3:
            raise RefusedError(Refusal.UNAVAILABLE, "not now")
        return WELCOME

    hub.answers[fleet.HELLO.path] = busy
    with hub.link() as link:
        assert greet(link) == WELCOME
        asked = itertools.count()
        with pytest.raises(UnreachableError, match="not now"):
            greet(link, patience=0)


class Canned:
    """A server that is none of ours, and gives the same answers to everybody."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        self.thread = threading.Thread(target=self._serve)

    def __enter__(self) -> "Canned":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.shutdown(socket.SHUT_RDWR)
        self.thread.join(10)
        self.sock.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self.sock.accept()
            except OSError:
                return
            with client:
                client.settimeout(10)
                client.recv(65536)
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                client.sendall(answer)


def http(status: str, body: bytes = b"<html>") -> bytes:
    return b"HTTP/1.1 %s\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s" % (
        status.encode(),
        len(body),
        body,
    )


@pytest.mark.parametrize("status", ["502 Bad Gateway", "503 Busy", "504 Gateway Time-out"])
def test_a_proxy_without_a_server_behind_it_is_asked_again(status: str) -> None:
    with (
        Canned(http(status)) as proxy,
        Link(f"127.0.0.1:{proxy.port}", tls=None) as link,
        pytest.raises(UnreachableError, match=f"a proxy answers {status}"),
    ):
        greet(link, patience=0.3)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("200 OK", Failure.FOREIGN_SERVER),
        ("301 Moved", Failure.FOREIGN_SERVER),
        ("401 Unauthorized", Refusal.NOT_ALLOWED),
        ("404 Not Found", Failure.FOREIGN_SERVER),
        ("413 Too Large", Refusal.TOO_LARGE),
    ],
)
def test_something_else_at_the_address_is_told_at_once(status: str, code: str) -> None:
    with (
        Canned(http(status)) as other,
        Link(f"127.0.0.1:{other.port}", tls=None) as link,
        pytest.raises(RefusedError, match=f"no server of this software: {status}") as caught,
    ):
        greet(link)
    assert caught.value.code == code
    assert ("client_max_body_size" in caught.value.hint) == (code == Refusal.TOO_LARGE)


def test_something_that_speaks_no_http_is_told_at_once_with_what_it_says() -> None:
    with (
        Canned(b"SSH-2.0-OpenSSH_9.2\r\n") as other,
        Link(f"127.0.0.1:{other.port}", tls=None) as link,
        pytest.raises(RefusedError, match="no HTTP, and says 'SSH-2.0-OpenSSH_9.2'") as caught,
    ):
        greet(link)
    assert caught.value.code == Failure.FOREIGN_SERVER


def test_a_grpc_server_is_told_at_once() -> None:
    settings = bytes((0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 3, 232))  # as its first frame
    with (
        Canned(settings) as other,
        Link(f"127.0.0.1:{other.port}", tls=None) as link,
        pytest.raises(RefusedError, match="HTTP/2 only without TLS, as gRPC does") as caught,
    ):
        greet(link)
    assert caught.value.code == Failure.FOREIGN_SERVER


def test_an_answer_that_is_no_answer_is_refused(hub: Hub) -> None:
    hub.answers[fleet.HELLO.path] = gives({"node_id": "one"})
    with hub.link() as link, pytest.raises(RefusedError, match="Expected `int`, got `str`"):
        greet(link)


def test_closing_a_link_ends_what_waits_on_it(hub: Hub) -> None:
    parked = threading.Semaphore(0)

    async def park(question: Any, caller: Caller) -> Any:
        parked.release()
        await asyncio.sleep(60)

    hub.answers[fleet.HELLO.path] = park
    with ThreadPoolExecutor(9) as threads:
        link = hub.link(patience=600)
        waiting = [threads.submit(greet, link, wait=60) for _ in range(8)]
        for _ in range(8):
            assert parked.acquire(timeout=10)
        lost = Link(f"127.0.0.1:{free_port()}", tls=None)
        waiting.append(threads.submit(greet, lost))
        threading.Event().wait(0.2)
        link.close()
        lost.close()
        for future in waiting:
            with pytest.raises(UnreachableError, match="was closed"):
                future.result(10)


def test_a_closed_link_makes_no_more_calls(hub: Hub) -> None:
    link = hub.link()
    link.close()
    with pytest.raises(UnreachableError, match="was closed"):
        greet(link)
    assert hub.asked == []


def test_a_longer_outage_is_told_once_and_so_is_its_end(
    shelf: FolderShelf, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    FLOWER_LOGGER.setLevel(logging.INFO)
    monkeypatch.setattr(retry, "_TELL_AFTER_SECONDS", 0.1)
    port = free_port()
    with Link(f"127.0.0.1:{port}", tls=None, patience=60) as link, ThreadPoolExecutor() as threads:
        answer = threads.submit(greet, link)
        while not caplog.records:
            threading.Event().wait(0.05)
        threading.Event().wait(0.5)
        with Hub(shelf, address=Address("127.0.0.1", port)) as hub:
            hub.answers[fleet.HELLO.path] = gives(WELCOME)
            answer.result(30)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert told[0].startswith(f"Cannot reach 127.0.0.1:{port}: connection refused. Trying on for")
    assert told[1] == f"127.0.0.1:{port} answers again."


def test_an_address_that_is_taken_is_told_and_nothing_is_left_open(shelf: FolderShelf) -> None:
    with Hub(shelf) as hub:
        port = free_port()
        listens = [Listen(Address("127.0.0.1", port)), Listen(hub.address)]
        with pytest.raises(AddressError, match=f"{hub.port}: Address already in use") as caught:
            asyncio.run(serve(listens))
        assert "another port" in caught.value.hint
        socket.create_server(("127.0.0.1", port)).close()


def test_an_address_of_another_machine_cannot_be_listened_at() -> None:
    with pytest.raises(AddressError, match="192.0.2.1:0"):
        asyncio.run(serve([Listen(Address("192.0.2.1", 0))]))


@pytest.mark.parametrize("host", ["::", "0.0.0.0", "localhost"])
def test_all_interfaces_and_names_can_be_listened_at(shelf: FolderShelf, host: str) -> None:
    with Hub(shelf, address=Address(host, 0)) as hub:
        hub.answers[fleet.HELLO.path] = gives(WELCOME)
        with hub.link() as link:  # at 127.0.0.1
            assert greet(link) == WELCOME


def test_closing_a_server_lets_calls_finish_that_are_being_answered(shelf: FolderShelf) -> None:
    began = threading.Event()

    async def slowly(question: Any, caller: Caller) -> Any:
        began.set()
        await asyncio.sleep(0.2)
        return WELCOME

    with Hub(shelf) as hub, hub.link(patience=0) as link, ThreadPoolExecutor() as threads:
        hub.answers[fleet.HELLO.path] = slowly
        answer = threads.submit(greet, link)
        assert began.wait(10)
        hub.run(hub.servers.close(grace=10))
        assert answer.result(10) == WELCOME
        with pytest.raises(UnreachableError, match="refused"):
            greet(link)


def test_closing_a_server_without_grace_cuts_calls_at_once(shelf: FolderShelf) -> None:
    began = threading.Event()

    async def never(question: Any, caller: Caller) -> Any:
        began.set()
        await asyncio.Event().wait()

    with Hub(shelf) as hub, hub.link(patience=0) as link, ThreadPoolExecutor() as threads:
        hub.answers[fleet.HELLO.path] = never
        answer = threads.submit(greet, link)
        assert began.wait(10)
        hub.run(hub.servers.close(grace=0))
        with pytest.raises(UnreachableError):
            answer.result(10)


def test_the_clients_half_loads_no_server_no_database_and_no_arrays() -> None:
    check = (
        "import sys, flwr.transport.client, flwr.transport.openapi\n"
        "heavy = {'aiohttp', 'urllib3', 'sqlalchemy', 'numpy', 'typer', 'rich'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check], check=True)
