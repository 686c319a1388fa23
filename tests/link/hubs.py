"""What the tests of links are made of: a server that answers every call, and a shelf on disk."""

import asyncio
import os
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from blake3 import blake3

from flwr.errors import RefusedError
from flwr.transport.address import Address
from flwr.transport.call import Access, Caller, Refusal
from flwr.transport.client import Link
from flwr.transport.incoming import Limits
from flwr.transport.openapi import CALLS
from flwr.transport.server import Api, Listen, Servers, serve
from flwr.transport.tls import ClientTls, ServerTls

T = TypeVar("T")
LOOPBACK = Address("127.0.0.1", 0)
TOKENS = {Access.NODE: "node-token", Access.APP: "app-token", Access.CLIENT: "client-token"}


class FolderShelf:
    """Objects in a folder; `partial` ones beside them. Everything is for everyone."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.room = 1 << 62
        self.offsets: list[int] = []  # at which uploads began
        self.received = 0  # bytes
        self.opened: list[int] = []

    def whole(self, object_id: str) -> Path:
        return self.folder / object_id

    def partial(self, object_id: str) -> Path:
        return self.folder / f"{object_id}.partial"

    def put(self, data: bytes) -> str:
        object_id = blake3(data).hexdigest()
        self.whole(object_id).write_bytes(data)
        return object_id

    async def offset(self, caller: Caller, object_id: str) -> int | None:
        if self.whole(object_id).exists():
            return None
        partial = self.partial(object_id)
        return partial.stat().st_size if partial.exists() else 0

    async def receive(
        self, caller: Caller, object_id: str, offset: int, size: int, chunks: AsyncIterator[bytes]
    ) -> tuple[bool, int]:
        partial = self.partial(object_id)
        here = partial.stat().st_size if partial.exists() else 0
        if offset > here:
            raise RefusedError(Refusal.BAD_REQUEST, f"only {here} bytes are here")
        self.offsets.append(offset)
        with partial.open("r+b" if partial.exists() else "wb") as file:
            file.seek(offset)
            async for chunk in chunks:
                if offset + len(chunk) > self.room:
                    raise RefusedError(Refusal.DISK_FULL, "no space is left", hint="make some")
                await asyncio.to_thread(file.write, chunk)
                offset += len(chunk)
                self.received += len(chunk)
        if offset < size:
            return False, offset
        if blake3(partial.read_bytes()).hexdigest() != object_id:
            partial.unlink()
            raise RefusedError(Refusal.WRONG_HASH, "that is another object")
        partial.rename(self.whole(object_id))
        return True, offset

    async def open(self, caller: Caller, object_id: str) -> tuple[int, int]:
        try:
            descriptor = os.open(self.whole(object_id), os.O_RDONLY)
        except FileNotFoundError:
            raise RefusedError(Refusal.UNKNOWN_OBJECT, f"there is no {object_id}") from None
        self.opened.append(descriptor)
        return descriptor, os.fstat(descriptor).st_size


async def authenticate(rule: Access, token: str, peer: str) -> Caller:
    """Each rule has one token."""
    if rule != Access.OPEN and token != TOKENS[rule]:
        raise RefusedError(Refusal.NOT_ALLOWED, f"that is no token for {rule}")
    return Caller(rule, address=peer)


class Hub:
    """All calls at one port, in a thread. `answers` says what each handler gives or does."""

    def __init__(
        self,
        shelf: Any = None,
        *,
        tls: ServerTls | None = None,
        limits: Limits | None = None,
        address: Address = LOOPBACK,
        listens: Sequence[Listen] | None = None,
    ) -> None:
        self.asked: list[tuple[Any, Caller]] = []
        self.answers: dict[str, Callable[[Any, Caller], Awaitable[Any]]] = {}
        self.cancelled = threading.Event()
        apis = [Api(name, self._handlers(name), authenticate, shelf) for name in ("fleet", "app")]
        apis += [Api(name, self._handlers(name), authenticate) for name in ("control", "client")]
        self._listens = listens or [Listen(address, apis, tls)]
        self._limits = limits
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self.servers: Servers

    def __enter__(self) -> "Hub":
        self._thread.start()
        self.servers = self.run(serve(self._listens, self._limits))
        return self

    def __exit__(self, *_: object) -> None:
        # asyncio leaves a connection open that it accepts in the very moment of closing.
        self.run(asyncio.sleep(0.01))
        self.run(self.servers.close(grace=0.5))
        self.run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def address(self) -> Address:
        return self.servers.addresses[0]

    @property
    def port(self) -> int:
        return self.address.port

    def run(self, work: Any) -> Any:
        future: Future[Any] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result(30)

    def link(
        self,
        access: Access = Access.NODE,
        *,
        tls: ClientTls | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        patience: float = 10.0,
    ) -> Link:
        return Link(
            f"{host}:{port or self.port}", tls=tls, token=TOKENS.get(access, ""), patience=patience
        )

    def connect(self) -> socket.socket:
        """A plain socket to it."""
        return socket.create_connection(("127.0.0.1", self.port), 10)

    def _handlers(self, protocol: str) -> dict[Any, Any]:
        return {call: self._handler(call) for call in CALLS if call.protocol == protocol}

    def _handler(self, call: Any) -> Callable[[Any, Caller], Awaitable[Any]]:
        async def handle(question: Any, caller: Caller) -> Any:
            self.asked.append((question, caller))
            try:
                return await self.answers[call.path](question, caller)
            except asyncio.CancelledError:
                self.cancelled.set()
                raise

        return handle


def gives(answer: T) -> Callable[[Any, Caller], Awaitable[T]]:
    """A handler that always answers the same."""

    async def handle(question: Any, caller: Caller) -> T:
        return answer

    return handle


def exchange_bytes(sock: socket.socket, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send raw bytes; give status, headers and body of the answer."""
    sock.sendall(request)
    return read_answer(sock)


def read_answer(sock: socket.socket) -> tuple[int, dict[str, str], bytes]:
    head, _, body = b"", b"", b""
    while b"\r\n\r\n" not in head:
        more = sock.recv(65536)
        if not more:
            raise ConnectionResetError(f"no answer: {head!r}")
        head += more
    head, _, body = head.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (one.partition(": ") for one in lines[1:])}
    while len(body) < int(headers.get("content-length", "0")):
        body += sock.recv(65536)
    return int(lines[0].split()[1]), headers, body


def was_cut(sock: socket.socket) -> bool:
    """Wait for the other side to end the connection, without another word."""
    try:
        return sock.recv(65536) == b""
    except ConnectionResetError:
        return True
