"""A real nginx in between, as it comes and with the settings that the documentation gives.

nginx is not optional here: without it these tests fail. `make test` fetches it on Debian.
"""

import asyncio
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from hubs import FolderShelf, Hub, gives

from flwr.errors import RefusedError
from flwr.transport import fleet
from flwr.transport.address import Address
from flwr.transport.call import Caller, Refusal
from flwr.transport.client import Link

DATA = random.Random(2).randbytes(8_000_000)
DATA_ID = blake3(DATA).hexdigest()

NETWORK_PAGE = Path(__file__).parents[2] / "docs" / "deployment" / "network.md"


def documented_settings() -> str:
    """The lines that the documentation asks administrators for."""
    _, _, block = NETWORK_PAGE.read_text().partition("location / {")
    lines = [line.partition("#")[0].strip() for line in block.partition("}")[0].splitlines()]
    return "\n".join(line for line in lines if not line.startswith("proxy_pass"))


CONFIG = """\
daemon off; master_process on; worker_processes 1; pid {folder}/nginx.pid;
worker_shutdown_timeout 100ms;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    upstream hub {{ server 127.0.0.1:{hub}; keepalive 64; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{ {settings} proxy_pass http://hub; }}
    }}
}}
"""


class Nginx:
    """nginx on loopback, before a port."""

    def __init__(self, folder: Path, hub: int, settings: str | None = None) -> None:
        fetched = Path(sys.prefix) / "apt" / "root" / "usr" / "sbin"  # by `make test`
        path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin:{fetched}"
        program = shutil.which("nginx", path=path)
        assert program, "These tests need nginx: run `make test`, or apt-get install nginx-light"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        folder.mkdir()
        config = folder / "nginx.conf"
        settings = documented_settings() if settings is None else settings
        config.write_text(CONFIG.format(folder=folder, port=self.port, hub=hub, settings=settings))
        self._process = subprocess.Popen([program, "-p", str(folder), "-c", str(config)])

    def __enter__(self) -> "Nginx":
        while self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 10).close()
            except ConnectionRefusedError:
                threading.Event().wait(0.02)
            else:
                return self
        raise AssertionError("nginx did not start")

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(10)

    def cut(self) -> None:
        """Replace its worker: what still goes on 100 ms later breaks off."""
        self._process.send_signal(signal.SIGHUP)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "nginx"


def link_to(proxy: Nginx) -> Link:
    return Link(f"127.0.0.1:{proxy.port}", tls=None, token="node-token", patience=60)


def test_calls_and_objects_pass_through(hub: Hub, shelf: FolderShelf, folder: Path) -> None:
    hub.answers[fleet.EXCHANGE.path] = gives(fleet.Exchanged(accepted=["a"]))
    back = memoryview(bytearray(len(DATA)))
    with Nginx(folder, hub.port) as proxy, link_to(proxy) as link:
        assert link.call(fleet.EXCHANGE, fleet.Exchange(1)).accepted == ["a"]
        link.upload(DATA_ID, memoryview(DATA))
        link.download(DATA_ID, back)
        with pytest.raises(RefusedError, match="another object") as caught:
            link.upload("0" * 64, memoryview(b"x"))
    assert caught.value.code == Refusal.WRONG_HASH
    assert back == DATA


def test_an_upload_goes_on_that_a_proxy_cut_in_its_middle(shelf: FolderShelf, folder: Path) -> None:
    slow = SlowShelf(shelf)
    with (
        Hub(slow) as hub,
        Nginx(folder, hub.port) as proxy,
        link_to(proxy) as link,
        ThreadPoolExecutor() as threads,
    ):
        upload = threads.submit(link.upload, DATA_ID, memoryview(DATA))
        assert slow.half.wait(30)
        proxy.cut()
        upload.result(60)
    assert shelf.whole(DATA_ID).read_bytes() == DATA
    assert shelf.offsets[0] == 0
    assert 0 < shelf.offsets[1] < len(DATA)


def test_a_download_goes_on_that_a_proxy_cut_in_its_middle(
    hub: Hub, shelf: FolderShelf, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.put(DATA)
    back = memoryview(bytearray(len(DATA)))
    pread = os.pread

    def slowly(descriptor: int, count: int, place: int) -> bytes:
        threading.Event().wait(0.1)
        return pread(descriptor, count, place)

    monkeypatch.setattr(os, "pread", slowly)
    with (
        Nginx(folder, hub.port) as proxy,
        link_to(proxy) as link,
        ThreadPoolExecutor() as threads,
    ):
        download = threads.submit(link.download, DATA_ID, back)
        while back[1_000_000:1_000_100] != DATA[1_000_000:1_000_100]:
            threading.Event().wait(0.01)
        proxy.cut()
        download.result(60)
    assert back == DATA
    assert len(shelf.opened) == 2


def test_a_parked_exchange_that_a_proxy_cut_is_made_again(hub: Hub, folder: Path) -> None:
    parked = threading.Semaphore(0)
    work = asyncio.Event()

    async def park(question: Any, caller: Caller) -> Any:
        parked.release()
        await work.wait()
        return fleet.Exchanged(accepted=["b"])

    hub.answers[fleet.EXCHANGE.path] = park
    with Nginx(folder, hub.port) as proxy, link_to(proxy) as link, ThreadPoolExecutor() as threads:
        exchange = threads.submit(link.call, fleet.EXCHANGE, fleet.Exchange(1), wait=50)
        assert parked.acquire(timeout=10)
        proxy.cut()
        assert parked.acquire(timeout=30)
        hub._loop.call_soon_threadsafe(work.set)
        assert exchange.result(30).accepted == ["b"]


def test_a_proxy_whose_hub_comes_later_is_asked_again(shelf: FolderShelf, folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with Nginx(folder, port) as proxy, link_to(proxy) as link, ThreadPoolExecutor() as threads:
        hello = threads.submit(link.call, fleet.HELLO, fleet.Hello("me"))
        threading.Event().wait(0.3)
        assert not hello.done()
        with Hub(shelf, address=Address("127.0.0.1", port)) as hub:
            hub.answers[fleet.HELLO.path] = gives(fleet.Welcome(7, 1))
            assert hello.result(30).node_id == 7


def test_a_proxy_as_it_comes_refuses_large_bodies_and_the_error_says_what_to_set(
    hub: Hub, folder: Path
) -> None:
    with (
        Nginx(folder, hub.port, settings="") as proxy,
        link_to(proxy) as link,
        pytest.raises(RefusedError) as caught,
    ):
        link.upload(DATA_ID, memoryview(DATA))
    assert caught.value.code == Refusal.TOO_LARGE
    assert "client_max_body_size" in caught.value.hint


class SlowShelf(FolderShelf):
    """Lets a test act when half of an object is there."""

    def __init__(self, shelf: FolderShelf) -> None:
        self.__dict__ = shelf.__dict__
        self.half = threading.Event()

    async def receive(self, caller: Caller, *what: Any) -> Any:
        *rest, chunks = what
        return await super().receive(caller, *rest, self._slowly(chunks))

    async def _slowly(self, chunks: Any) -> Any:
        async for chunk in chunks:
            yield chunk
            if not self.half.is_set() and self.received > len(DATA) // 4:
                self.half.set()
                await asyncio.sleep(0.5)
