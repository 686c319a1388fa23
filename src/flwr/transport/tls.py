"""Certificates: what a server shows, and whom a client believes."""

import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flwr.errors import SettingsError
from flwr.transport.address import Address

_PARTIAL_CHAIN, _NO_CHECK_TIME = 0x80000, 0x200000  # OpenSSL's X509_V_FLAG_...


@dataclass(frozen=True)
class ServerTls:
    """What a server shows to its clients.

    Attributes
    ----------
    certificate : Path
        PEM file: the server's certificate, and the intermediate ones behind it.
    key : Path
        PEM file: its private key, without a password.
    ca : Path or None
        PEM file: the certificate authority that clients are given. Only :meth:`check` uses it.
    """

    certificate: Path
    key: Path
    ca: Path | None = None

    def check(self) -> None:
        """See whether clients that believe ``ca`` will be able to connect.

        Raises
        ------
        SettingsError
            If a file cannot be read or holds something else, if key and certificate do not belong
            together, if the certificate has expired or is not one of the authority's.
        """
        server = self.context()
        if self.ca is None:
            return
        try:
            _shake_hands(server, self._client())
        except ssl.SSLCertVerificationError as error:
            raise SettingsError(
                f"Clients that believe {self.ca} would not believe {self.certificate}: "
                f"{error.verify_message}.",
                hint="Give the CA certificate that signed the server's certificate.",
            ) from error

    def name(self) -> str:
        """Return a name that the certificate is for, or an empty text if it has none.

        A client on the same machine expects it, whatever the address that it connects to.
        """
        if self.ca is None:
            return ""
        shown = _shake_hands(self.context(), self._client()) or {}
        names: Any = shown.get("subjectAltName", ())
        found = sorted(names, key=lambda entry: entry[0] != "DNS")
        return found[0][1].replace("*", "any", 1) if found else ""

    def _client(self) -> ssl.SSLContext:
        client = ClientTls(self.ca).context()
        client.check_hostname = False  # under which names it is found, only clients know
        return client

    def context(self) -> ssl.SSLContext:
        """For the server's sockets; raises as :meth:`check` does for unreadable files."""
        for path, what in ((self.certificate, "certificate"), (self.key, "private key")):
            _read(path, what)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            # A password of one letter: without any, OpenSSL would ask for it on the terminal.
            context.load_cert_chain(self.certificate, self.key, password="-")  # noqa: S106
        except ssl.SSLError as error:
            raise SettingsError(
                f"The certificate {self.certificate} and the private key {self.key} cannot be used"
                f" together: {_cause(error)}.",
                hint="Both must be PEM files, and the key without a password.",
            ) from error
        return context


@dataclass(frozen=True)
class ClientTls:
    """Whom a client believes.

    Attributes
    ----------
    root_certificates : Path or None
        PEM file with the certificates of authorities; None for those that the system knows.
    server_name : str
        What the certificate has to be for, if that is not the address's host.
    """

    root_certificates: Path | None = None
    server_name: str = ""

    def context(self) -> ssl.SSLContext:
        """For the client's sockets.

        Raises
        ------
        SettingsError
            If the file cannot be read or holds no certificate.
        """
        context = _ClientContext(ssl.PROTOCOL_TLS_CLIENT)
        context.server_name = self.server_name
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.root_certificates is None:
            context.load_default_certs()
            return context
        _read(self.root_certificates, "root certificates")
        try:
            context.load_verify_locations(self.root_certificates)
        except ssl.SSLError as error:
            raise SettingsError(
                f"{self.root_certificates} holds no certificate: {_cause(error)}.",
                hint="Root certificates are a PEM file, with -----BEGIN CERTIFICATE----- in it.",
            ) from error
        return context


@dataclass(frozen=True)
class Certificate:
    """What stands in a certificate that a server shows; nothing of it is proven.

    Attributes
    ----------
    names : tuple of str
        Names and numbers of machines that it is for.
    issuer : str
        Who signed it, as that calls itself.
    not_before, not_after : datetime
        When it may be used, UTC.
    """

    names: tuple[str, ...]
    issuer: str
    not_before: datetime
    not_after: datetime


def shown_certificate(address: Address, seconds: float) -> Certificate | None:
    """Return the certificate that is shown at an address, believed or not; None if none is.

    Parameters
    ----------
    address : Address
        Where to look.
    seconds : float
        How long at the most to wait for a connection, and again for an answer.
    """
    try:
        with (
            socket.create_connection((address.host, address.port), seconds) as plain,
            unbelieving_context().wrap_socket(plain) as sock,
        ):
            shown = sock.getpeercert(binary_form=True)
        if shown is None:
            return None
        # Python tells what stands in a certificate only once it is believed: now this one is.
        context = ssl.create_default_context(cadata=ssl.DER_cert_to_PEM_cert(shown))
        context.check_hostname = False
        context.verify_flags = ssl.VerifyFlags(_PARTIAL_CHAIN | _NO_CHECK_TIME)
        with (
            socket.create_connection((address.host, address.port), seconds) as plain,
            context.wrap_socket(plain) as sock,
        ):
            return _certificate_of(sock.getpeercert() or {})
    except (OSError, ValueError):
        return None


def unbelieving_context() -> ssl.SSLContext:
    """For connections by which nothing is told: whoever answers may be anyone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _certificate_of(found: Any) -> Certificate:
    issuer = {name: value for part in found.get("issuer", ()) for name, value in part}
    known = ("commonName", "organizationName", "organizationalUnitName")
    return Certificate(
        tuple(value for _, value in found.get("subjectAltName", ())),
        ", ".join(issuer[name] for name in known if name in issuer),
        *(
            datetime.fromtimestamp(ssl.cert_time_to_seconds(found[key]), UTC)
            for key in ("notBefore", "notAfter")
        ),
    )


class _ClientContext(ssl.SSLContext):
    """A context that can expect the certificate of one name at all addresses."""

    server_name = ""

    def wrap_socket(self, *arguments: Any, **settings: Any) -> ssl.SSLSocket:
        """Make a socket secure."""
        if self.server_name:
            settings["server_hostname"] = self.server_name
        return super().wrap_socket(*arguments, **settings)


def _read(path: Path, what: str) -> None:
    """Fail for a file that is not there: ssl's own errors do not name it."""
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise SettingsError(
            f"Cannot read the {what} file {path}: {error.strerror or error}."
        ) from error


def _cause(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).replace("_", " ").lower()


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> dict[str, Any] | None:
    """Let both meet in memory; return the server's certificate as the client sees it.

    Raises what a client would raise on a socket.
    """
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    seen = client.wrap_bio(to_client, to_server, server_hostname="localhost")
    sides = [seen, server.wrap_bio(to_server, to_client, server_side=True)]
    while sides:
        for side in tuple(sides):
            try:
                side.do_handshake()
                sides.remove(side)
            except ssl.SSLWantReadError:
                continue
    return seen.getpeercert()
