"""Why a connection was not made or broke, told apart; what is there is looked at once more."""

import http.client
import socket
import ssl
from contextlib import suppress

from flwr.errors import LinkError, RefusedError, TlsError
from flwr.transport.address import Address
from flwr.transport.call import Failure
from flwr.transport.retry import Broken
from flwr.transport.tls import ClientTls, shown_certificate, unbelieving_context

LOOK_SECONDS = 3.0  # for each look at what is there

_WRONG_NAME = (62, 64)  # OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and _IP_ADDRESS_MISMATCH
_NOT_YET_VALID, _EXPIRED = 9, 10
_NO_TLS_THERE = (
    "WRONG_VERSION_NUMBER",
    "HTTP_REQUEST",
    "UNKNOWN_PROTOCOL",
    "PACKET_LENGTH_TOO_LONG",
    "RECORD_LAYER_FAILURE",
    "UNEXPECTED_MESSAGE",
)
_HTTP2_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
_HINT_OF_FOREIGN = "Check the address and the port."
_HINT_OF_GRPC = (
    "The servers of Flower up to 1.3x do: they and ours do not work together. Check the address "
    "and the port."
)


def broken_by(error: BaseException) -> Broken:
    """Say in few words what broke a connection, or kept it from being made."""
    if isinstance(error, TimeoutError):
        return Broken("it took too long", code=Failure.TIMED_OUT)
    if isinstance(error, ConnectionRefusedError):
        return Broken("connection refused", code=Failure.CONNECTION_REFUSED)
    if isinstance(error, ConnectionError | http.client.HTTPException | ssl.SSLError):
        return Broken("the connection broke")
    if isinstance(error, OSError) and error.strerror:
        return Broken(error.strerror.lower())
    return Broken(str(error) or type(error).__name__)


def not_connected(
    address: Address, tls: ClientTls | None, error: Exception
) -> Broken | TlsError | RefusedError:
    """Return what kept a connection from being made.

    Parameters
    ----------
    address : Address
        Where to.
    tls : ClientTls or None
        How.
    error : Exception
        What connecting raised.

    Returns
    -------
    Broken or LinkError
        The latter if trying again does not help.
    """
    if isinstance(error, ssl.SSLCertVerificationError) and tls is not None:
        return _unbelieved(address, tls, error)
    if isinstance(error, ssl.SSLError) and not isinstance(
        error, ssl.SSLEOFError | ssl.SSLZeroReturnError
    ):
        return _no_agreement(address, error)
    if isinstance(error, socket.gaierror | UnicodeError):
        return Broken(f"the name {address.host!r} is not known", code=Failure.UNKNOWN_HOST)
    return broken_by(error)


def another_server(address: Address, secure: bool, error: Exception) -> LinkError | None:
    """Return what is there instead of our server, after a new connection broke; None if unknown.

    Parameters
    ----------
    address : Address
        Where it was.
    secure : bool
        Whether it was with TLS.
    error : Exception
        What broke it.
    """
    if isinstance(error, http.client.BadStatusLine) and not isinstance(error, ConnectionError):
        return _no_http(address, secure, error)
    if not isinstance(error, ConnectionError):
        return None
    if not secure and _speaks_tls(address):
        return TlsError(
            f"{address} speaks TLS, and this side does not.",
            hint="Give the root certificates of that server, and do not ask for an insecure "
            "connection.",
            code=Failure.TLS_REQUIRED,
        )
    if _is_http2(_first_words(address, _HTTP2_GREETING, secure=secure)):
        return _grpc(address, secure)
    return None


def _no_http(
    address: Address, secure: bool, error: http.client.BadStatusLine
) -> RefusedError | None:
    said = str(error.args[0]).encode("latin-1", "replace")
    if _is_http2(said):
        return _grpc(address, secure)
    if b"HTTP/".startswith(said[:5]):
        return None  # an answer that was cut
    return _foreign(address, f"it speaks no HTTP, and says {_quoted(said)}")


def _unbelieved(address: Address, tls: ClientTls, error: ssl.SSLCertVerificationError) -> TlsError:
    certificate = shown_certificate(address, LOOK_SECONDS)
    if error.verify_code in _WRONG_NAME:
        names = ", ".join(certificate.names) if certificate else ""
        wanted = tls.server_name or address.host
        return TlsError(
            f"The certificate of {address} is not for the name {wanted!r}.",
            hint=(f"It is for: {names}. " if names else "")
            + "Use a name that stands in the certificate, or have one made for this name.",
            code=Failure.TLS_WRONG_NAME,
        )
    if error.verify_code == _EXPIRED:
        when = f" (on {certificate.not_after:%Y-%m-%d %H:%M}Z)" if certificate else ""
        return TlsError(
            f"The certificate of {address} cannot be used today: {error.verify_message}{when}.",
            hint="Renew it there, or set this machine's clock.",
            code=Failure.TLS_EXPIRED,
        )
    if error.verify_code == _NOT_YET_VALID:
        when = f" (it is from {certificate.not_before:%Y-%m-%d %H:%M}Z on)" if certificate else ""
        return TlsError(
            f"The certificate of {address} cannot be used today: {error.verify_message}{when}.",
            hint="Set the clocks of both machines.",
            code=Failure.TLS_NOT_YET_VALID,
        )
    return _unknown_ca(address, tls, error, certificate.issuer if certificate else "")


def _unknown_ca(
    address: Address, tls: ClientTls, error: ssl.SSLCertVerificationError, issuer: str
) -> TlsError:
    named = f" It calls itself {issuer!r}." if issuer else ""
    believed = tls.root_certificates or "the CAs that this machine's system trusts"
    return TlsError(
        f"The certificate of {address} was signed by a CA that is not known here: "
        f"{error.verify_message}.{named}",
        hint=f"Believed here: {believed}. Give the root certificates that belong to that server.",
        code=Failure.TLS_UNKNOWN_CA,
    )


def _no_agreement(address: Address, error: ssl.SSLError) -> TlsError | RefusedError:
    if error.reason not in _NO_TLS_THERE:
        reason = (error.reason or str(error)).replace("_", " ").lower()
        return TlsError(f"No secure connection to {address}: {reason}.", code=Failure.TLS)
    request = f"GET /health HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n".encode()
    said = _first_words(address, request, secure=False)
    if _is_http2(said):
        return _grpc(address, secure=False)
    if said and not said.startswith(b"HTTP/"):
        return _foreign(address, f"it speaks neither TLS nor HTTP, and says {_quoted(said)}")
    return TlsError(
        f"{address} speaks plain HTTP, and this side TLS.",
        hint="Start that server with certificates, or ask here for an insecure connection.",
        code=Failure.TLS_NOT_SERVED,
    )


def _foreign(address: Address, why: str, hint: str = _HINT_OF_FOREIGN) -> RefusedError:
    return RefusedError(
        Failure.FOREIGN_SERVER,
        f"What answers at {address} is no server of this software: {why}.",
        hint=hint,
    )


def _grpc(address: Address, secure: bool) -> RefusedError:
    how = "" if secure else " without TLS"
    return _foreign(address, f"it speaks HTTP/2 only{how}, as gRPC does", _HINT_OF_GRPC)


def _is_http2(said: bytes) -> bool:
    """Whether a greeting begins with a frame of settings."""
    return len(said) > 4 and said[0] == 0 and said[3] == 4


def _quoted(said: bytes) -> str:
    return repr(said.split(b"\n")[0].strip()[:60].decode("latin-1"))


def _first_words(address: Address, greeting: bytes, *, secure: bool) -> bytes:
    """Return what a server says to a greeting, or nothing."""
    try:
        with socket.create_connection((address.host, address.port), LOOK_SECONDS) as plain:
            if not secure:
                return _said(plain, greeting)
            context = unbelieving_context()
            context.set_alpn_protocols(["h2"])
            with context.wrap_socket(plain) as sock:
                return _said(sock, greeting)
    except OSError:
        return b""


def _said(sock: socket.socket, greeting: bytes) -> bytes:
    with suppress(ConnectionError):  # what was said before may lie here
        sock.sendall(greeting)
    return sock.recv(256)


def _speaks_tls(address: Address) -> bool:
    try:
        with (
            socket.create_connection((address.host, address.port), LOOK_SECONDS) as plain,
            unbelieving_context().wrap_socket(plain),
        ):
            return True
    except OSError:
        return False
