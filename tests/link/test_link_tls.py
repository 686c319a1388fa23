"""Certificates that are right, wrong, for another name, or missing on one side."""

import datetime
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from blake3 import blake3
from cryptography.hazmat.primitives import serialization
from hubs import LOOPBACK, FolderShelf, Hub, exchange_bytes, gives, was_cut

from flwr.errors import AddressError, SettingsError, TlsError
from flwr.transport import fleet
from flwr.transport.client import Link
from flwr.transport.incoming import Limits
from flwr.transport.server import Listen
from flwr.transport.tls import ClientTls, ServerTls

LONG_AGO = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)


@dataclass
class Certificates:
    """An authority, a certificate of it for 127.0.0.1, and the files of both."""

    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.authority = trustme.CA()
        self.ca = self.folder / "ca.crt"
        self.authority.cert_pem.write_to_path(self.ca)

    def server(
        self,
        *names: str,
        expires: datetime.datetime | None = None,
        begins: datetime.datetime | None = None,
    ) -> ServerTls:
        issued = self.authority.issue_cert(*names, not_after=expires, not_before=begins)
        certificate, key = self.folder / "server.pem", self.folder / "server.key"
        certificate.unlink(missing_ok=True)
        for part in issued.cert_chain_pems:
            part.write_to_path(certificate, append=True)
        issued.private_key_pem.write_to_path(key)
        return ServerTls(certificate, key, self.ca)

    @property
    def client(self) -> ClientTls:
        return ClientTls(self.ca)


@pytest.fixture
def ours(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path / "ours")


@pytest.fixture
def theirs(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path / "theirs")


@pytest.fixture
def secure(ours: Certificates, shelf: FolderShelf) -> Iterator[Hub]:
    with Hub(shelf, tls=ours.server("127.0.0.1", "hub.example.org")) as hub:
        hub.answers[fleet.HELLO.path] = gives(fleet.Welcome(1, 1))
        yield hub


def greet(link: Link) -> fleet.Welcome:
    with link:
        return link.call(fleet.HELLO, fleet.Hello("me"))


def test_a_certificate_of_a_known_authority_is_believed(secure: Hub, ours: Certificates) -> None:
    assert greet(secure.link(tls=ours.client)).node_id == 1
    assert secure.address.secure


def test_objects_travel_over_tls(secure: Hub, ours: Certificates) -> None:
    data = bytes(range(256)) * 20_000
    object_id, back = blake3(data).hexdigest(), memoryview(bytearray(len(data)))
    with secure.link(tls=ours.client) as link:
        link.upload(object_id, memoryview(data))
        link.download(object_id, back)
    assert back == data


def test_an_unknown_authority_is_refused_at_once(secure: Hub, theirs: Certificates) -> None:
    with pytest.raises(TlsError, match="signed by a CA that is not known here") as caught:
        greet(secure.link(tls=theirs.client, patience=600))
    assert "root certificates" in caught.value.hint
    assert str(theirs.ca) in caught.value.hint
    assert "It calls itself 'trustme" in caught.value.message
    assert caught.value.code == "tls-unknown-ca"


def test_the_authorities_of_the_system_do_not_know_ours(secure: Hub) -> None:
    with pytest.raises(TlsError, match="not known here"):
        greet(secure.link(tls=ClientTls()))


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_a_certificate_for_another_name_is_refused(
    name: str, ours: Certificates, shelf: FolderShelf
) -> None:
    with Hub(shelf, tls=ours.server("hub.example.org")) as hub:
        link = hub.link(tls=ours.client, host=name)
        with pytest.raises(TlsError, match=f"not for the name '{name}'") as caught:
            greet(link)
    assert "stands in the certificate" in caught.value.hint
    assert "It is for: hub.example.org." in caught.value.hint
    assert caught.value.code == "tls-wrong-name"


def test_an_expired_certificate_is_refused(ours: Certificates, shelf: FolderShelf) -> None:
    with Hub(shelf, tls=ours.server("127.0.0.1", expires=LONG_AGO)) as hub:
        link = hub.link(tls=ours.client)
        with pytest.raises(
            TlsError, match="today: certificate has expired .on 2000-01-01"
        ) as caught:
            greet(link)
    assert caught.value.code == "tls-expired"


def test_a_certificate_of_tomorrow_is_told_apart(ours: Certificates, shelf: FolderShelf) -> None:
    tomorrow = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
    tls = ours.server("127.0.0.1", begins=tomorrow)
    with (
        Hub(shelf, tls=tls) as hub,
        pytest.raises(TlsError, match=f"it is from {tomorrow:%Y-%m-%d}") as caught,
    ):
        greet(hub.link(tls=ours.client))
    assert caught.value.code == "tls-not-yet-valid"


def test_plain_http_to_a_tls_port_is_told_apart(secure: Hub) -> None:
    with pytest.raises(TlsError, match="speaks TLS, and this side does not") as caught:
        greet(secure.link(patience=600))
    assert "root certificates" in caught.value.hint
    assert caught.value.code == "tls-required"
    assert secure.asked == []


def test_tls_to_a_plain_port_is_told_apart(hub: Hub, ours: Certificates) -> None:
    with pytest.raises(TlsError, match="speaks plain HTTP, and this side TLS") as caught:
        greet(hub.link(tls=ours.client, patience=600))
    assert "insecure" in caught.value.hint
    assert caught.value.code == "tls-not-served"


def test_a_server_of_old_protocols_is_refused_with_the_reason(
    secure: Hub, ours: Certificates
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection(("127.0.0.1", secure.port)) as plain,
        pytest.raises(ssl.SSLError),
    ):
        context.wrap_socket(plain)


def test_nothing_is_served_to_plain_http_at_a_tls_port(secure: Hub) -> None:
    with secure.connect() as sock:
        sock.sendall(b"GET /health HTTP/1.1\r\nhost: h\r\n\r\n")
        assert not sock.recv(65536).startswith(b"HTTP")


def test_a_handshake_that_does_not_come_is_cut(ours: Certificates, shelf: FolderShelf) -> None:
    hasty = Hub(shelf, tls=ours.server("127.0.0.1"), limits=Limits(head_seconds=0.3))
    with hasty as hub, hub.connect() as sock:
        assert was_cut(sock)


def test_one_port_may_be_safe_and_another_plain(ours: Certificates) -> None:
    listens = [Listen(LOOPBACK, tls=ours.server("127.0.0.1")), Listen(LOOPBACK)]
    with Hub(listens=listens) as hub:
        safe, plain = hub.servers.addresses
        with socket.create_connection(("127.0.0.1", plain.port)) as sock:
            assert exchange_bytes(sock, b"GET /health HTTP/1.1\r\nhost: h\r\n\r\n")[0] == 200
        assert (safe.secure, plain.secure) == (True, False)


def test_what_the_address_says_and_what_is_asked_for_must_agree(ours: Certificates) -> None:
    with pytest.raises(AddressError, match="says https.* an insecure connection"):
        Link("https://hub:9092", tls=None)
    with pytest.raises(AddressError, match="says http, .* a secure connection"):
        Link("http://hub:9092", tls=ours.client)


# What is checked at start.


def test_right_files_pass(ours: Certificates) -> None:
    ours.server("hub.example.org").check()


def test_a_certificate_of_another_authority_does_not_pass(
    ours: Certificates, theirs: Certificates
) -> None:
    server = ours.server("hub")
    with pytest.raises(SettingsError, match="would not believe") as caught:
        ServerTls(server.certificate, server.key, theirs.ca).check()
    assert str(theirs.ca) in str(caught.value)


def test_an_expired_certificate_does_not_pass(ours: Certificates) -> None:
    with pytest.raises(SettingsError, match="certificate has expired"):
        ours.server("hub", expires=LONG_AGO).check()


def test_a_key_of_another_certificate_does_not_pass(
    ours: Certificates, theirs: Certificates
) -> None:
    with pytest.raises(SettingsError, match="cannot be used together: key values mismatch"):
        ServerTls(ours.server("hub").certificate, theirs.server("hub").key).check()


@pytest.mark.parametrize("which", ["certificate", "key", "ca"])
def test_a_missing_file_and_one_without_a_certificate_are_named(
    ours: Certificates, which: str
) -> None:
    path: Path = getattr(ours.server("hub"), which)
    server = ours.server("hub")
    path.write_text("no certificate\n")
    with pytest.raises(SettingsError, match=str(path)):
        server.check()
    path.unlink()
    with pytest.raises(SettingsError, match=f"file {path}: No such file"):
        server.check()


def test_a_key_with_a_password_does_not_pass_and_does_not_ask(
    ours: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ours.server("hub")
    key = serialization.load_pem_private_key(server.key.read_bytes(), None)
    server.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(SettingsError, match="without a password"):
        server.check()


def test_root_certificates_that_cannot_be_used_stop_a_link(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        Link("hub:9092", tls=ClientTls(tmp_path / "ca.crt"))
    (tmp_path / "ca.crt").write_text("")
    with pytest.raises(SettingsError, match="holds no certificate"):
        Link("hub:9092", tls=ClientTls(tmp_path / "ca.crt"))
