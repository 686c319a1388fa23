"""Objects over HTTP, the server's half: probe, upload, download.

``HEAD`` answers 200 for a whole object, else 404 with ``upload-offset``: how much of it is here.
``PUT ?offset=N&size=S`` goes on from there: 201 when it is whole, 202 with ``upload-offset`` when
it is not. ``GET`` knows ``Range``.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from aiohttp import web

from flwr.errors import RefusedError
from flwr.transport.call import PROTOCOL_VERSION, Caller, Refusal
from flwr.transport.incoming import (
    PIECE_BYTES,
    PROTOCOL_HEADER,
    Limits,
    body_pieces,
    connection_of,
    refusal,
)
from flwr.transport.parts import OBJECT_ID_LENGTH

OBJECTS_PATH = "/v1/objects/"
OFFSET_HEADER = "upload-offset"


class ObjectShelf(Protocol):
    """Where a server keeps objects. Each caller sees its own and those that were sent to it."""

    async def offset(self, caller: Caller, object_id: str) -> int | None:
        """None: whole, and readable for this caller. Else how many bytes of it are here."""

    async def receive(
        self, caller: Caller, object_id: str, offset: int, size: int, chunks: AsyncIterator[bytes]
    ) -> tuple[bool, int]:
        """Take an object of ``size`` bytes from ``offset`` on: (whole, bytes that are here).

        ``chunks`` simply ends when the client breaks off; what came is kept. It runs to its end
        whether the client is still there or not.

        Raises
        ------
        RefusedError
            Of another hash, a full disk, or an offset beyond what is here (a bad request).
        """

    async def open(self, caller: Caller, object_id: str) -> tuple[int, int]:
        """Give a file descriptor, which the server closes, and the object's size.

        Raises
        ------
        RefusedError
            If there is none, or none for this caller.
        """


class Transfers:
    """The transfers of one server: a bounded number at a time, files read in threads."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._turns = asyncio.Semaphore(limits.transfers)
        self._reading = ThreadPoolExecutor(4, thread_name_prefix="flwr-objects")
        self._receiving: set[asyncio.Task[tuple[bool, int]]] = set()

    async def answer(
        self, request: web.BaseRequest, shelf: ObjectShelf, caller: Caller
    ) -> web.StreamResponse:
        """Answer a request for an object."""
        object_id = request.path.removeprefix(OBJECTS_PATH)
        if len(object_id) != OBJECT_ID_LENGTH or set(object_id) - set("0123456789abcdef"):
            raise RefusedError(
                Refusal.BAD_REQUEST,
                f"{object_id[:80]!r} is no object id: {OBJECT_ID_LENGTH} hexadecimal digits.",
            )
        match request.method:
            case "HEAD":
                return await self._probe(request, shelf, caller, object_id)
            case "PUT":
                return await self._upload(request, shelf, caller, object_id)
            case "GET":
                return await self._download(request, shelf, caller, object_id)
        raise RefusedError(Refusal.UNKNOWN_CALL, f"Objects know no {request.method}.")

    async def close(self) -> None:
        """End what is still being received: its partial object is kept."""
        for task in self._receiving:
            task.cancel()
        await asyncio.gather(*self._receiving, return_exceptions=True)
        self._reading.shutdown(wait=False)

    async def _probe(
        self, request: web.BaseRequest, shelf: ObjectShelf, caller: Caller, object_id: str
    ) -> web.StreamResponse:
        offset = await shelf.offset(caller, object_id)
        if offset is None:
            return _empty(200)
        if not await self._turn():  # the place to wait: nothing has been sent in vain
            return _come_back(request)
        self._turns.release()
        return _empty(404, offset)

    async def _upload(
        self, request: web.BaseRequest, shelf: ObjectShelf, caller: Caller, object_id: str
    ) -> web.StreamResponse:
        offset = _whole_number(request, "offset", "0")
        size = _whole_number(request, "size", "")
        if not await self._turn():
            return _come_back(request)
        # A task of its own: aiohttp cancels handlers of vanished clients, and what came is kept.
        coming = shelf.receive(caller, object_id, offset, size, _joined(request, self._limits))
        task = asyncio.ensure_future(coming)
        self._receiving.add(task)
        task.add_done_callback(self._received)
        whole, reached = await asyncio.shield(task)
        return _empty(201 if whole else 202, reached)

    def _received(self, task: asyncio.Task[tuple[bool, int]]) -> None:
        self._receiving.discard(task)
        self._turns.release()
        if not task.cancelled():
            task.exception()  # nobody asks for it when the client is gone

    async def _download(
        self, request: web.BaseRequest, shelf: ObjectShelf, caller: Caller, object_id: str
    ) -> web.StreamResponse:
        if not await self._turn():
            return _come_back(request)
        try:
            descriptor, size = await shelf.open(caller, object_id)
            file = _File(descriptor, self._reading)
            try:
                return await self._send(request, file, size)
            finally:
                file.close()
        finally:
            self._turns.release()

    async def _send(self, request: web.BaseRequest, file: "_File", size: int) -> web.StreamResponse:
        first, end = _range(request, size)
        headers = {"content-type": "application/octet-stream", "accept-ranges": "bytes"}
        headers[PROTOCOL_HEADER] = str(PROTOCOL_VERSION)
        partial = (first, end) != (0, size)
        if partial:
            headers["content-range"] = f"bytes {first}-{end - 1}/{size}"
        response = web.StreamResponse(status=206 if partial else 200, headers=headers)
        response.content_length = end - first
        await response.prepare(request)
        coming = file.read(first, end)
        while first < end:
            piece = await coming
            if not piece:  # someone shortened the file: the client must not take it for whole
                connection_of(request).cut()
                raise ConnectionResetError("the object's file is too short")
            first += len(piece)
            if first < end:
                coming = file.read(first, end)
            await self._write(request, response, piece)
        return response

    async def _write(
        self, request: web.BaseRequest, response: web.StreamResponse, piece: bytes
    ) -> None:
        try:
            async with asyncio.timeout(2 * self._limits.stall_seconds):
                await response.write(piece)
        except TimeoutError:
            connection_of(request).cut()
            raise ConnectionResetError("the client does not read") from None

    async def _turn(self) -> bool:
        """Wait for a turn; False if there is none for now."""
        try:
            async with asyncio.timeout(self._limits.turn_seconds):
                return await self._turns.acquire()
        except TimeoutError:
            return False


class _File:
    """A descriptor that threads read from, and that is closed when the last of them is done."""

    def __init__(self, descriptor: int, threads: ThreadPoolExecutor) -> None:
        self._descriptor = descriptor
        self._threads = threads
        self._reading: Future[bytes] | None = None

    def read(self, first: int, end: int) -> asyncio.Future[bytes]:
        """Begin to read the next piece, which is not yet awaited."""
        count = min(PIECE_BYTES, end - first)
        self._reading = self._threads.submit(os.pread, self._descriptor, count, first)
        return asyncio.wrap_future(self._reading)

    def close(self) -> None:
        """Close the descriptor, once nobody reads."""
        if self._reading is None or self._reading.cancel():
            os.close(self._descriptor)
        else:
            self._reading.add_done_callback(lambda _: os.close(self._descriptor))


async def _joined(request: web.BaseRequest, limits: Limits) -> AsyncIterator[bytes]:
    """Give the body in large pieces; it ends early when the client breaks off."""
    gathered: list[bytes] = []
    waiting = 0
    try:
        async for piece in body_pieces(request, limits):
            gathered.append(piece)
            waiting += len(piece)
            if waiting >= PIECE_BYTES:
                yield b"".join(gathered)
                gathered, waiting = [], 0
    except ConnectionResetError:
        pass
    if gathered:
        yield b"".join(gathered)


def _whole_number(request: web.BaseRequest, name: str, default: str) -> int:
    text = request.query.get(name, default)
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise RefusedError(
            Refusal.BAD_REQUEST, f"An upload needs ?offset=N&size=S; {name} is {text[:80]!r}."
        )
    return int(text)


def _range(request: web.BaseRequest, size: int) -> tuple[int, int]:
    """First byte, and the one behind the last, that a client wants."""
    try:
        wanted = request.http_range
    except ValueError:
        raise RefusedError(Refusal.BAD_REQUEST, "The range cannot be read.") from None
    first, end, _ = wanted.indices(size)
    if first >= end and not (first == end == size == 0):
        raise RefusedError(
            Refusal.BAD_REQUEST, f"The object has {size} bytes, none of them in that range."
        )
    return first, end


def _empty(status: int, offset: int | None = None) -> web.Response:
    headers = {PROTOCOL_HEADER: str(PROTOCOL_VERSION)}
    if offset is not None:
        headers[OFFSET_HEADER] = str(offset)
    return web.Response(status=status, headers=headers)


def _come_back(request: web.BaseRequest) -> web.Response:
    """All turns are taken: refuse for now. The header tells clients that the server is well."""
    response = refusal(
        RefusedError(Refusal.UNAVAILABLE, "Too many objects are on their way."), request
    )
    response.headers["retry-after"] = "1"
    return response
