"""The connections of a link, and what breaks them, told apart."""

import http.client
import select
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import BufferedIOBase
from typing import Any

from flwr.transport.address import Address
from flwr.transport.diagnosis import another_server, broken_by, not_connected
from flwr.transport.retry import Broken
from flwr.transport.tls import ClientTls

Bytes = bytes | bytearray | memoryview

CONNECT_SECONDS = 10.0
SEND_SECONDS = 30.0  # for one piece
_SHORT_BYTES = 64 * 1024


class _Answer(http.client.HTTPResponse):
    """An answer whose head must be whole: the library takes one that was cut for a short one."""

    def begin(self) -> None:
        """Read the head."""
        stream = self.fp
        head = _Head(stream)
        self.fp = head  # type: ignore[assignment]  # it reads lines only
        try:
            super().begin()
        finally:
            if self.fp is not None:
                self.fp = stream
        if head.last.rstrip(b"\r\n"):
            raise http.client.HTTPException("the head of the answer was cut")


class _Head:
    """Gives the lines of a head, and knows whether the last one was the empty one behind it."""

    def __init__(self, stream: BufferedIOBase) -> None:
        self._stream = stream
        self.last = b""

    def readline(self, limit: int = -1) -> bytes:
        """Give a line."""
        line = self._stream.readline(limit)
        self.last = line or b"cut"
        return line

    def flush(self) -> None:
        """Do nothing, as reading streams do."""

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()


class _Line(http.client.HTTPConnection):
    """A connection that sends a head together with what follows it, if that is short."""

    response_class = _Answer
    head: bytes | None = None

    def send(self, data: Any) -> None:
        """Send bytes, but keep a head back until the body, or that there is none."""
        if self.head is None:
            super().send(data)
        else:
            self.head += data

    def send_after_head(self, body: Iterable[Bytes]) -> None:
        """Send the head that was kept back, and the body."""
        head, self.head = self.head or b"", None
        for piece in body:
            if head and len(piece) <= _SHORT_BYTES:
                piece = b"".join((head, piece))  # noqa: PLW2901 - one packet, one wake-up there
            elif head:
                super().send(head)
            head = b""
            super().send(piece)
        if head:
            super().send(head)


class _SecureLine(_Line, http.client.HTTPSConnection):
    """The same, over TLS."""


class Lines:
    """Connections to one address, kept for the next call, closed by whoever likes.

    Parameters
    ----------
    address : Address
        Where to.
    tls : ClientTls or None
        None for plain HTTP.
    keep : int
        How many idle connections to keep.
    """

    def __init__(self, address: Address, tls: ClientTls | None, keep: int) -> None:
        self._address = address
        self._tls = tls
        self._context = tls.context() if tls is not None else None
        self._keep = keep
        self._lock = threading.Lock()
        self._idle: list[_Line] = []
        self._busy: set[_Line] = set()
        self._closed = False

    def _take(self) -> tuple[_Line, bool]:
        """Give a connection, and whether it is a new one.

        Raises
        ------
        Broken
            If there is nobody, for now.
        TlsError
            If both sides will never agree.
        """
        with self._lock:
            while self._idle:
                line = self._idle.pop()
                if not _has_ended(line.sock):
                    self._busy.add(line)
                    return line, False
                line.close()
        return self._connect(), True

    def _give_back(self, line: _Line, response: http.client.HTTPResponse) -> None:
        """Keep a connection whose answer was read to its end, if it goes on."""
        if not response.isclosed() or line.sock is None:
            return
        with self._lock:
            if not self._closed and len(self._idle) < self._keep:
                self._busy.discard(line)
                self._idle.append(line)

    def _drop(self, line: _Line) -> None:
        """Close a connection that is of no more use; one that was given back stays."""
        with self._lock:
            if line not in self._busy:
                return
            self._busy.discard(line)
        line.close()

    @contextmanager
    def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: Iterable[Bytes],
        read_seconds: float,
    ) -> Iterator[http.client.HTTPResponse]:
        """Make one request; the answer's body is read within the ``with`` block.

        Raises
        ------
        Broken, TlsError, RefusedError
            As told apart, and whenever the connection breaks before the block has ended.
        """
        line, new = self._take()
        try:
            try:
                response = _exchange(line, method, path, headers, body, read_seconds)
            except (OSError, http.client.HTTPException) as error:
                other = another_server(self._address, self._tls is not None, error) if new else None
                raise other or broken_by(error) from error
            try:
                yield response
            except (OSError, http.client.HTTPException) as error:
                raise broken_by(error) from error
            finally:
                self._give_back(line, response)
                response.close()
        finally:
            self._drop(line)

    def close(self) -> None:
        """Close all; calls that wait on one end at once."""
        with self._lock:
            self._closed = True
            busy, idle = tuple(self._busy), self._idle
            self._idle = []
        for line in idle:
            line.close()
        for line in busy:
            _shut(line.sock)

    def _connect(self) -> _Line:
        host, port = self._address.host, self._address.port
        if self._context is None:
            line = _Line(host, port, timeout=CONNECT_SECONDS)
        else:
            line = _SecureLine(host, port, timeout=CONNECT_SECONDS, context=self._context)
        try:
            line.connect()
        except (OSError, UnicodeError) as error:
            line.close()
            raise not_connected(self._address, self._tls, error) from error
        with self._lock:
            self._busy.add(line)
            if not self._closed:
                return line
        self._drop(line)
        raise Broken("the link was closed")


def _exchange(
    line: _Line,
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: Iterable[Bytes],
    read_seconds: float,
) -> http.client.HTTPResponse:
    """Send a request, and give its answer, which may come before all was sent."""
    line.sock.settimeout(SEND_SECONDS)
    try:
        line.head = b""
        line.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers.items():
            line.putheader(name, value)
        line.endheaders()
        line.send_after_head(body)
    except ConnectionError:
        # Refused in the middle of its body? Then the reason may lie here already.
        line.sock.settimeout(1.0)
        return line.getresponse()
    line.sock.settimeout(read_seconds)
    return line.getresponse()


def _has_ended(sock: socket.socket) -> bool:
    """Whether the other side has closed: an idle connection has nothing to read."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def _shut(sock: socket.socket | None) -> None:
    if sock is None:
        return
    try:
        # Not SSLSocket.shutdown, which takes the TLS object from under a reading thread.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    except OSError:
        return  # it has ended by itself
