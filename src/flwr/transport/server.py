"""The server's half of a link: typed calls and objects over HTTP, several APIs, several ports."""

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

from flwr.errors import AddressError, RefusedError, SettingsError
from flwr.log import FLOWER_LOGGER, log
from flwr.transport.address import Address
from flwr.transport.call import PROTOCOLS, Access, Call, Caller, Refusal
from flwr.transport.incoming import (
    JSON,
    MSGPACK,
    Door,
    Limits,
    answer,
    bearer,
    check_version,
    connection_of,
    read_body,
    refusal,
)
from flwr.transport.objects import OBJECTS_PATH, ObjectShelf, Transfers
from flwr.transport.tls import ServerTls

Handler = Callable[[Any, Caller], Awaitable[Any]]
"""Gets the request and who made it, gives the answer or raises a RefusedError."""

Authenticate = Callable[[Access, str, str], Awaitable[Caller]]
"""Gets a rule, the bearer token or "", and the peer's address; raises a RefusedError."""

_BACKLOG = 4096  # as many nodes may come at once after a restart


class Api:
    """One protocol as a server offers it.

    Parameters
    ----------
    name : str
        For messages: fleet, app, control, client.
    handlers : mapping of Call to Handler
        What is served.
    authenticate : Authenticate
        Who makes a call; asked for each, before its body is read.
    objects : ObjectShelf, optional
        Objects for those who may make the calls that are not open to everyone.

    Raises
    ------
    SettingsError
        If a call has no access rule.
    """

    def __init__(
        self,
        name: str,
        handlers: Mapping[Call[Any, Any], Handler],
        authenticate: Authenticate,
        objects: ObjectShelf | None = None,
    ) -> None:
        for call in handlers:
            if not isinstance(call.access, Access):
                raise SettingsError(f"The call {call.path} has no rule who may make it.")
        closed = {call.access for call in handlers if call.access != Access.OPEN}
        if objects is not None and len(closed) != 1:
            raise SettingsError(
                f"The API {name!r} says not clearly to whom its objects are open: "
                f"its calls are for {sorted(closed) or 'everyone'}."
            )
        self.name = name
        self.handlers = handlers
        self.authenticate = authenticate
        self.objects = objects
        self.objects_access = next(iter(closed), Access.OPEN)


@dataclass(frozen=True)
class Listen:
    """A port to listen at, what is served there, and the certificate if it is to be safe.

    Without any API, only ``/health`` is served.
    """

    address: Address
    apis: Sequence[Api] = field(default=())
    tls: ServerTls | None = None


class Servers:
    """Listening servers, as :func:`serve` makes them.

    Attributes
    ----------
    addresses : tuple of Address
        Where they listen, with real port numbers, in the order they were asked for.
    """

    def __init__(self, addresses: Sequence[Address]) -> None:
        self.addresses = tuple(addresses)
        self._doors: list[Door] = []
        self._sockets: list[asyncio.Server] = []
        self._transfers: list[Transfers] = []

    def _add(self, door: Door, sockets: Sequence[asyncio.Server], transfers: Transfers) -> None:
        self._doors.append(door)
        self._sockets.extend(sockets)
        self._transfers.append(transfers)

    async def close(self, grace: float = 2.0) -> None:
        """Take no more calls, let those that are being answered finish, and close.

        Parameters
        ----------
        grace : float, default 2.0
            Seconds for calls and transfers; then they are cut.
        """
        for server in self._sockets:
            server.close()
        await asyncio.gather(*(door.close(grace) for door in self._doors))
        for transfers in self._transfers:
            await transfers.close()


async def serve(listens: Sequence[Listen], limits: Limits | None = None) -> Servers:
    """Listen at all addresses, or at none.

    Parameters
    ----------
    listens : sequence of Listen
        What to serve where.
    limits : Limits, optional
        What to bear from clients.

    Raises
    ------
    AddressError
        If an address cannot be listened at; it is named.
    SettingsError
        If two APIs of one port have the same call, or a certificate cannot be used.
    """
    limits = limits or Limits()
    transfers = Transfers(limits)
    ports = [_Port(listen.apis, transfers, limits) for listen in listens]
    contexts = [listen.tls.context() if listen.tls else None for listen in listens]
    bound: list[list[socket.socket]] = []
    try:
        for listen in listens:
            sockets = await asyncio.to_thread(_bind, listen.address)
            bound.append(sockets)
    except AddressError:
        for sockets in bound:
            for one in sockets:
                one.close()
        raise
    servers = Servers(
        [
            Address(listen.address.host, sockets[0].getsockname()[1], listen.tls is not None)
            for listen, sockets in zip(listens, bound, strict=True)
        ]
    )
    elsewhere = {
        api.name: address.port
        for listen, address in zip(listens, servers.addresses, strict=True)
        for api in listen.apis
    }
    loop = asyncio.get_running_loop()
    for port, sockets, context in zip(ports, bound, contexts, strict=True):
        port.elsewhere = elsewhere
        door = Door(port.answer, limits)
        listening = [
            await loop.create_server(
                door,
                sock=one,
                ssl=context,
                backlog=_BACKLOG,
                ssl_handshake_timeout=limits.head_seconds if context else None,
                ssl_shutdown_timeout=0.5 if context else None,  # for clients without a goodbye
            )
            for one in sockets
        ]
        servers._add(door, listening, transfers)
    return servers


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Give what ``asyncio.Runner`` takes: uvloop's loop if ``FLWR_UVLOOP=1``, else the default.

    uvloop is not installed with this package; objects are a little slower with it.
    """
    if os.environ.get("FLWR_UVLOOP") != "1":
        return None
    try:
        import uvloop
    except ImportError:
        raise SettingsError(
            "FLWR_UVLOOP=1 asks for uvloop, which is not installed.", hint="pip install uvloop"
        ) from None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


class _Route:
    """A call with its handler, and decoders that are made once."""

    def __init__(self, call: Call[Any, Any], api: Api) -> None:
        self.call = call
        self.handler = api.handlers[call]
        self.authenticate = api.authenticate
        self.decoders: dict[str, Callable[[bytes], Any]] = {
            MSGPACK: msgspec.msgpack.Decoder(call.request).decode,
            JSON: msgspec.json.Decoder(call.request).decode,
        }


_ENCODERS: dict[str, Callable[[Any], bytes]] = {
    MSGPACK: msgspec.msgpack.Encoder().encode,
    JSON: msgspec.json.Encoder().encode,
}


class _Port:
    """What is answered at one port."""

    def __init__(self, apis: Sequence[Api], transfers: Transfers, limits: Limits) -> None:
        self._apis = apis
        self._transfers = transfers
        self._limits = limits
        self._routes: dict[str, _Route] = {}
        self.elsewhere: Mapping[str, int] = {}  # the ports of this server's APIs, by their names
        for api in apis:
            for call in api.handlers:
                if call.path in self._routes:
                    raise SettingsError(f"Two APIs of one port have the call {call.path}.")
                self._routes[call.path] = _Route(call, api)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, whatever it is."""
        connection = connection_of(request)
        connection.head_came()
        try:
            response = await self._dispatch(request)
        except RefusedError as error:
            response = refusal(error, request)
        except ConnectionError:
            raise  # the client is gone: aiohttp ends the connection
        except Exception:
            log(logging.ERROR, "%s %s failed.", request.method, request.path, exc_info=True)
            failed = f"The server failed at {request.path}."
            response = refusal(
                RefusedError(Refusal.INTERNAL, failed, hint="Its log says more."), request
            )
        finally:
            connection.answered()
        if any(handler.level <= logging.DEBUG for handler in FLOWER_LOGGER.handlers):
            log(logging.DEBUG, "%s %s %d", request.method, request.path, response.status)
        return response

    async def _dispatch(self, request: web.BaseRequest) -> web.StreamResponse:
        route = self._routes.get(request.path)
        if route is not None and request.method == "POST":
            check_version(request)
            return await self._call(request, route)
        if request.path.startswith(OBJECTS_PATH):
            check_version(request)
            return await self._object(request)
        if request.path == "/health" and request.method in ("GET", "HEAD"):
            return web.Response()
        if request.path == "/openapi.json" and request.method == "GET" and self._apis:
            from flwr.transport.openapi import document_json

            return answer(document_json(), JSON)
        raise self._unknown(request)

    async def _call(self, request: web.BaseRequest, route: _Route) -> web.Response:
        call = route.call
        token, peer = bearer(request), request.remote or ""
        caller = await route.authenticate(call.access, token, peer)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        decode = route.decoders.get(kind)
        if decode is None or "content-encoding" in request.headers:
            raise RefusedError(
                Refusal.BAD_REQUEST,
                f"{call.path} takes {MSGPACK} or {JSON}, not compressed.",
                hint=f"Say which in the header, as with: curl -H 'content-type: {JSON}'",
            )
        body = await read_body(request, self._limits)
        try:
            question = decode(body)
        except (msgspec.DecodeError, RecursionError) as error:
            raise RefusedError(
                Refusal.BAD_REQUEST, f"{call.path} does not take that: {error}."
            ) from None
        return answer(_ENCODERS[kind](await route.handler(question, caller)), kind)

    async def _object(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer for the first API that knows the caller."""
        token, peer = bearer(request), request.remote or ""
        refused: RefusedError = self._unknown(request)
        for api in self._apis:
            if api.objects is None:
                continue
            try:
                caller = await api.authenticate(api.objects_access, token, peer)
            except RefusedError as error:
                if error.code != Refusal.NOT_ALLOWED:
                    raise
                refused = error
                continue
            return await self._transfers.answer(request, api.objects, caller)
        raise refused

    def _unknown(self, request: web.BaseRequest) -> RefusedError:
        served = ", ".join(api.name for api in self._apis) or "nothing but /health"
        wanted = _protocol_of(request.path)
        if wanted is not None and wanted not in {api.name for api in self._apis}:
            return _wrong_port(wanted, self._apis, self.elsewhere)
        return RefusedError(
            Refusal.UNKNOWN_CALL,
            f"{request.method} {request.path[:200]} is not served at this port.",
            hint=f"Served here: {served}. Each API has a port of its own.",
        )


def _protocol_of(path: str) -> str | None:
    """Return the name of the protocol whose call is asked for, if it is one of ours."""
    parts = path.split("/")
    return parts[2] if len(parts) == 4 and parts[1] == "v1" and parts[2] in PROTOCOLS else None


def _wrong_port(wanted: str, apis: Sequence[Api], elsewhere: Mapping[str, int]) -> RefusedError:
    """Say who is served here, and where the others are."""
    protocol = PROTOCOLS[wanted]
    served = " and ".join(
        f"{PROTOCOLS[api.name].speakers} (the {PROTOCOLS[api.name].name})" for api in apis
    )
    where = (
        f"by default port {protocol.port} of a {'SuperNode' if wanted == 'client' else 'SuperLink'}"
    )
    if wanted in elsewhere:
        where = f"port {elsewhere[wanted]} of this server"
    return RefusedError(
        Refusal.WRONG_PORT,
        f"It serves {served or 'GET /health only'}, not {protocol.speakers} (the {protocol.name}).",
        hint=f"The {protocol.name} is {where}.",
    )


def _bind(address: Address) -> list[socket.socket]:
    """Bind all numbers of a name; ``::`` is all interfaces, IPv4 ones included."""
    if address.host == "::":
        try:
            return [
                socket.create_server(
                    ("::", address.port),
                    family=socket.AF_INET6,
                    dualstack_ipv6=socket.has_dualstack_ipv6(),
                    backlog=_BACKLOG,
                )
            ]
        except OSError as error:
            if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                raise _cannot_listen(address, error) from error
            return _bind(Address("0.0.0.0", address.port))  # noqa: S104 - a host without IPv6
    bound: list[socket.socket] = []
    port = address.port
    try:
        found = socket.getaddrinfo(address.host, port, type=socket.SOCK_STREAM)
        for number in dict.fromkeys((family, where[0]) for family, *_, where in found):
            try:
                one = socket.create_server((number[1], port), family=number[0], backlog=_BACKLOG)
            except OSError as error:
                if error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL) and len(found) > 1:
                    continue  # a name with an IPv6 number on a host without IPv6
                raise
            bound.append(one)
            port = one.getsockname()[1]
    except OSError as error:
        for one in bound:
            one.close()
        raise _cannot_listen(address, error) from error
    if not bound:
        raise _cannot_listen(address, OSError(errno.EADDRNOTAVAIL, "none of its numbers is here"))
    return bound


def _cannot_listen(address: Address, error: OSError) -> AddressError:
    hint = "Give an address of this machine."
    if error.errno == errno.EADDRINUSE:
        hint = "Something listens there already: end it, or give another port."
    elif error.errno == errno.EACCES:
        hint = "Ports below 1024 need privileges: give a higher one."
    return AddressError(f"Cannot listen at {address}: {error.strerror or error}.", hint=hint)
