"""The client's half of a link: calls and objects, tried again until they succeed.

The standard library's ``http.client`` under our own retries, one fresh request each.
"""

import http.client
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn, TypeVar

import msgspec

from flwr._version import __version__
from flwr.errors import AddressError, RefusedError
from flwr.transport.address import Address, parse
from flwr.transport.call import PROTOCOL_VERSION, Call, Failure, Refusal
from flwr.transport.lines import Bytes, Lines
from flwr.transport.parts import Denied
from flwr.transport.retry import Broken, Outage
from flwr.transport.tls import ClientTls
from flwr.transport.transfer import download, upload

Q = TypeVar("Q")
A = TypeVar("A")

_LONGEST_REFUSAL = 1 << 16
READ_SECONDS = 30.0  # for an answer, beyond what the call itself waits

_CODE_OF_OTHERS = {
    401: Refusal.NOT_ALLOWED,
    403: Refusal.NOT_ALLOWED,
    413: Refusal.TOO_LARGE,
}
_HINT_OF_OTHERS = {
    413: "A proxy in between bounds bodies: with nginx, set client_max_body_size to 0.",
}


class Link:
    """A link to one server. All threads may use it at the same time.

    Parameters
    ----------
    address : str
        ``host:port``.
    tls : ClientTls or None
        Whom to believe; None for plain HTTP.
    token : str, optional
        Sent with every call.
    patience : float, default 600.0
        Seconds to go on trying while nobody answers.
    connections : int, default 4
        How many idle connections to keep.

    Attributes
    ----------
    answered : bool
        Whether a call of this link has been answered.

    Raises
    ------
    AddressError
        If the address cannot be read, or says ``http://`` and ``tls`` the contrary.
    SettingsError
        If the root certificates cannot be used.
    """

    def __init__(
        self,
        address: str | Address,
        *,
        tls: ClientTls | None,
        token: str = "",
        patience: float = 600.0,
        connections: int = 4,
    ) -> None:
        self.address = address if isinstance(address, Address) else parse(address)
        if self.address.secure not in (None, tls is not None):
            raise AddressError(
                f"The address {address} says {'https' if self.address.secure else 'http'}, and the "
                f"settings ask for {'a secure' if tls is not None else 'an insecure'} connection."
            )
        self._lines = Lines(self.address, tls, connections)
        self._patience = patience
        self._closed = threading.Event()
        self.answered = False
        self._headers = {
            "flwr-protocol": str(PROTOCOL_VERSION),
            "user-agent": f"wildflower/{__version__}",
            "accept": "application/msgpack",
        }
        if token:
            self._headers["authorization"] = f"Bearer {token}"

    def call(
        self,
        call: Call[Q, A],
        request: Q,
        *,
        wait: float = 0.0,
        patience: float | None = None,
    ) -> A:
        """Make a call, again and again until there is an answer.

        Parameters
        ----------
        call : Call
            Which.
        request : struct
            What it takes.
        wait : float, default 0.0
            Seconds that the server may wait before it answers.
        patience : float, optional
            As for the link. 0 tries once.

        Raises
        ------
        RefusedError
            If the server refused; ``code`` says why.
        UnreachableError
            If nobody answered for so long, or the link was closed.
        TlsError
            At once, if both sides will never agree.
        """
        body = msgspec.msgpack.encode(request)
        headers = {"content-type": "application/msgpack", "content-length": str(len(body))}
        seconds = wait + READ_SECONDS
        outage = self._outage(patience)
        while True:
            try:
                with self._ask("POST", call.path, headers, (body,), seconds) as response:
                    content = response.read()
                break
            except Broken as broken:
                outage.bear(broken)
        outage.over()
        self.answered = True
        try:
            return msgspec.msgpack.decode(content, type=call.answer)
        except msgspec.DecodeError as error:
            raise RefusedError(
                Refusal.VERSION,
                f"{self.address} answers {call.path} with something else: {error}.",
                hint="Is that a server of this software, of the same version?",
            ) from None

    def upload(self, object_id: str, data: memoryview | Path) -> None:
        """Send an object, or what is missing of it over there.

        Parameters
        ----------
        object_id : str
            The BLAKE3 hash of its bytes, 64 hexadecimal digits.
        data : memoryview or Path
            Contiguous bytes, or a file that holds them.

        Raises
        ------
        RefusedError, UnreachableError, TlsError
            As for calls. The link's patience counts from the last progress.
        """
        upload(self._ask, self._outage(None), object_id, data)

    def download(self, object_id: str, into: memoryview) -> None:
        """Fetch an object; what has come stays across broken connections.

        Parameters
        ----------
        object_id : str
            The BLAKE3 hash of its bytes, which is checked.
        into : memoryview
            Writable, contiguous, of exactly the object's length.

        Raises
        ------
        RefusedError
            As for calls, and with the code ``wrong-hash`` if what came is another object, or one
            of another length.
        UnreachableError, TlsError
            As for calls. The link's patience counts from the last progress.
        """
        download(self._ask, self._outage(None), object_id, into)

    def close(self) -> None:
        """Close the link. Calls that wait in other threads end with an UnreachableError.

        A thread that is still connecting notices within ten seconds.
        """
        self._closed.set()
        self._lines.close()

    def __enter__(self) -> "Link":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _outage(self, patience: float | None) -> Outage:
        patience = self._patience if patience is None else patience
        return Outage(str(self.address), patience, self._closed)

    @contextmanager
    def _ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: Iterable[Bytes],
        read_seconds: float = READ_SECONDS,
    ) -> Iterator[http.client.HTTPResponse]:
        """Make one request. Refusals are raised, but not that an object is not (wholly) there."""
        headers = {**self._headers, **headers}
        with self._lines.ask(method, path, headers, body, read_seconds) as response:
            if response.status >= 300 and response.headers.get("upload-offset") is None:
                self._refuse(response)
            elif "flwr-protocol" not in response.headers:
                raise self._stranger(response)
            yield response

    def _refuse(self, response: http.client.HTTPResponse) -> NoReturn:
        """Raise what an answer other than success means."""
        content = response.read(_LONGEST_REFUSAL)
        code = response.headers.get("flwr-refusal")
        if code is None and response.status in (502, 503, 504):
            raise Broken(f"a proxy answers {response.status} {response.reason}")
        if code is None:
            raise self._stranger(response)
        try:
            denied = msgspec.msgpack.decode(content, type=Denied)
        except msgspec.DecodeError:  # the answer to HEAD has no body
            denied = Denied(code, f"{self.address} refuses that ({code}).")
        if code == Refusal.UNAVAILABLE:
            raise Broken(denied.message, alive="retry-after" in response.headers)
        message = denied.message
        if denied.code == Refusal.WRONG_PORT:
            message = f"{self.address} is the wrong port. {message}"
        raise RefusedError(denied.code, message, hint=denied.hint)

    def _stranger(self, response: http.client.HTTPResponse) -> RefusedError:
        """Say that an answer came from something else."""
        named = response.headers.get("server", "").strip()[:60]
        return RefusedError(
            _CODE_OF_OTHERS.get(response.status, Failure.FOREIGN_SERVER),
            f"What answers at {self.address} is no server of this software: "
            f"{response.status} {response.reason}{f' (it calls itself {named!r})' * bool(named)}.",
            hint=_HINT_OF_OTHERS.get(response.status) or _hint_of(named),
        )


def _hint_of(server: str) -> str:
    """Return what to do about a server that calls itself so."""
    hint = "Check the address and the port."
    if server == "uvicorn":
        hint += " It may be a SuperLink of upstream Flower: theirs and ours do not work together."
    return hint
