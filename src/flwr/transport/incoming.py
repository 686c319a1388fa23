"""What comes in at a server: heads and bodies that must come in time, and answers that refuse."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from flwr.errors import RefusedError
from flwr.log import FLOWER_LOGGER
from flwr.transport.call import PROTOCOL_VERSION, Refusal
from flwr.transport.parts import Denied

PROTOCOL_HEADER = "flwr-protocol"
REFUSAL_HEADER = "flwr-refusal"
MSGPACK = "application/msgpack"
JSON = "application/json"

PIECE_BYTES = 1 << 20  # of a body, as given on

STATUS = {
    Refusal.BAD_REQUEST: 400,
    Refusal.NOT_ALLOWED: 403,
    Refusal.VERSION: 426,
    Refusal.UNKNOWN_CALL: 404,
    Refusal.WRONG_PORT: 404,
    Refusal.UNKNOWN_RUN: 404,
    Refusal.UNKNOWN_NODE: 404,
    Refusal.UNKNOWN_OBJECT: 404,
    Refusal.SUPERSEDED: 409,
    Refusal.RUN_ENDED: 409,
    Refusal.RUN_STATE: 409,
    Refusal.BAD_APP: 422,
    Refusal.WRONG_HASH: 422,
    Refusal.TOO_LARGE: 413,
    Refusal.DISK_FULL: 507,
    Refusal.UNAVAILABLE: 503,
    Refusal.INTERNAL: 500,
}


@dataclass(frozen=True)
class Limits:
    """What a server bears from its clients.

    Attributes
    ----------
    head_seconds : float
        A request's head must be there that long after its first byte, or after connecting.
    stall_seconds : float
        A body may stand still that long, and so may a client that does not read.
    slowest : float
        Bytes a second that a body must come to, beyond the first ``stall_seconds``.
    idle_seconds : float
        A connection without a request is closed after that long.
    call_bytes : int
        The largest body of a call.
    transfers : int
        Objects that travel at a time; the rest wait.
    turn_seconds : float
        How long one that waits is kept before it is asked to come back.
    """

    head_seconds: float = 20.0
    stall_seconds: float = 30.0
    slowest: float = 4096.0
    idle_seconds: float = 75.0
    call_bytes: int = 64 << 20
    transfers: int = 32
    turn_seconds: float = 15.0


class Connection(RequestHandler):
    """A client's connection; it is cut when the head of a request does not come in time."""

    __slots__ = ("_busy", "_head_seconds", "_timer")

    def __init__(self, manager: web.Server, head_seconds: float, **settings: Any) -> None:
        super().__init__(manager, loop=asyncio.get_running_loop(), **settings)
        self._head_seconds = head_seconds
        self._timer: asyncio.TimerHandle | None = None
        self._busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop waiting."""
        self.head_came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes; between requests they begin a head, which must be whole in time."""
        super().data_received(data)
        if not self._busy and self._timer is None:
            self._expect_head()

    def head_came(self) -> None:
        """Note that a head is whole, and that its request is being answered."""
        self._busy = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def answered(self) -> None:
        """Note that what comes next is the head of another request."""
        self._busy = False

    def cut(self) -> None:
        """End the connection without another word."""
        if self.transport is not None:
            self.transport.abort()

    def _expect_head(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._head_seconds, self.cut)


class Door(web.Server):
    """Makes a :class:`Connection` of every client that comes."""

    def __init__(self, answer: Any, limits: Limits) -> None:
        super().__init__(answer, handler_cancellation=True)
        self._limits = limits
        self._open: dict[RequestHandler, asyncio.Transport] = {}
        self._changed = asyncio.Event()
        self._closing = False

    def __call__(self) -> RequestHandler:
        """Make a connection."""
        return Connection(
            self,
            self._limits.head_seconds,
            keepalive_timeout=self._limits.idle_seconds,
            access_log=None,
            logger=_aiohttp_log,
            auto_decompress=False,  # a small body must not become a large one
            read_bufsize=PIECE_BYTES // 4,  # reading stops at twice that
        )

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Note a connection; one that was on its way when the server closed is cut."""
        super().connection_made(handler, transport)
        self._open[handler] = transport
        if self._closing:
            transport.abort()

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """Note the end of one."""
        super().connection_lost(handler, exc)
        self._open.pop(handler, None)
        self._changed.set()

    async def close(self, grace: float) -> None:
        """Let calls finish and answers leave, for ``grace`` seconds each; then cut the rest."""
        self._closing = True
        self.pre_shutdown()
        await self.shutdown(max(grace, 0.001))  # 0 is for ever to aiohttp
        try:
            async with asyncio.timeout(grace):
                while self._open:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            for transport in self._open.values():
                transport.abort()
            await asyncio.sleep(0)  # the loop tells their ends in its next round


class _OnlyForDebugging(logging.Filter):
    """Scanners and dropped connections are no errors of ours."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.levelno, record.levelname = logging.DEBUG, "DEBUG"
        return FLOWER_LOGGER.isEnabledFor(logging.DEBUG)


_aiohttp_log = logging.getLogger("flwr.http")
_aiohttp_log.addFilter(_OnlyForDebugging())


async def body_pieces(request: web.BaseRequest, limits: Limits) -> AsyncIterator[bytes]:
    """Give the body as it comes; cut the connection of a client that sends too slowly.

    Raises
    ------
    ConnectionResetError
        If the client broke off, or was cut.
    """
    if request.headers.get("expect", "").lower() == "100-continue":  # as curl does
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    clock = asyncio.get_running_loop().time
    began, received = clock(), 0
    content = request.content
    while not content.at_eof():
        allowed = limits.stall_seconds + received / limits.slowest - (clock() - began)
        try:
            async with asyncio.timeout(min(limits.stall_seconds, allowed)):
                piece = await content.readany()
        except TimeoutError:
            connection_of(request).cut()
            raise ConnectionResetError("the body came too slowly") from None
        except web.RequestPayloadError as error:
            raise ConnectionResetError("the body broke off") from error
        received += len(piece)
        if piece:
            yield piece


async def read_body(request: web.BaseRequest, limits: Limits) -> bytes:
    """Give the whole body of a call, bounded in bytes and in time."""
    limit = limits.call_bytes
    if (request.content_length or 0) > limit:
        raise _too_large(limit)
    if request.content.is_eof() and request.content_length is not None:
        return request.content.read_nowait()  # it came with its head
    pieces, received = [], 0
    async for piece in body_pieces(request, limits):
        received += len(piece)
        if received > limit:
            raise _too_large(limit)
        pieces.append(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def connection_of(request: web.BaseRequest) -> Connection:
    """Give the connection that a request came on."""
    protocol = request.protocol
    assert isinstance(protocol, Connection)
    return protocol


def check_version(request: web.BaseRequest) -> None:
    """Refuse another version of the protocol; none is one typed by hand."""
    version = request.headers.get(PROTOCOL_HEADER, str(PROTOCOL_VERSION))
    if version != str(PROTOCOL_VERSION):
        raise RefusedError(
            Refusal.VERSION,
            f"This server speaks version {PROTOCOL_VERSION} of the protocol, not {version!r}.",
            hint="Install the same version of the software on both sides.",
        )


def bearer(request: web.BaseRequest) -> str:
    """Give the token that came with a request, or nothing."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def answer(body: bytes, kind: str, status: int = 200) -> web.Response:
    """Make an answer of ours."""
    headers = {"content-type": kind, PROTOCOL_HEADER: str(PROTOCOL_VERSION)}
    return web.Response(body=body, status=status, headers=headers)


def refusal(error: RefusedError, request: web.BaseRequest) -> web.Response:
    """Make the answer that refuses, in the format the client speaks."""
    content = Denied(error.code, error.message, error.hint)
    status = STATUS.get(Refusal(error.code), 400)
    if error.code == Refusal.NOT_ALLOWED and not bearer(request):
        status = 401
    if MSGPACK in (request.headers.get("content-type"), request.headers.get("accept")):
        response = answer(msgspec.msgpack.encode(content), MSGPACK, status)
    else:
        response = answer(msgspec.json.encode(content), JSON, status)
    response.headers[REFUSAL_HEADER] = error.code  # the answer to HEAD has no body
    return response


def _too_large(limit: int) -> RefusedError:
    return RefusedError(
        Refusal.TOO_LARGE,
        f"The body of a call is {limit} bytes at most.",
        hint="Larger contents travel as objects.",
    )
