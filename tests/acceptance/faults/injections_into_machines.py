"""Faults around apps: links, certificates, ports, disks, files and configuration."""

import contextlib
import datetime
import socket
import sqlite3
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import trustme
from bench import Bench
from deployed import free_ports
from injections_into_deployments import write_patch

INJECTIONS: dict[str, Callable[[Bench], None]] = {}
DAY = datetime.timedelta(days=1)


def injection(function: Callable[[Bench], None]) -> Callable[[Bench], None]:
    INJECTIONS[function.__name__] = function
    return function


@contextlib.contextmanager
def _listening(greeting: bytes = b"", tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Listen at a port, and say something to all who come; yields the port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with contextlib.suppress(OSError), connection:
                        if tls is None:
                            connection.sendall(greeting)
                            connection.recv(1 << 16)
                        else:
                            with tls.wrap_socket(connection, server_side=True) as secure:
                                secure.recv(1 << 16)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            thread.join(1.0)


# --- links


@injection
def connection_refused(bench: Bench) -> None:
    (port,) = free_ports(1)
    bench.run_at(f"127.0.0.1:{port}")


@injection
def unknown_host(bench: Bench) -> None:
    bench.run_at("superlink.invalid:9093")


@injection
def foreign_server(bench: Bench) -> None:
    with _listening(b"SSH-2.0-OpenSSH_9.6\r\n") as port:
        bench.run_at(f"127.0.0.1:{port}").end()


@injection
def other_version(bench: Bench) -> None:
    patch = write_patch(
        bench.folder / "patch", "import flwr.transport.call as call\ncall.PROTOCOL_VERSION = 99\n"
    )
    (port,) = free_ports(1)
    hub = bench.hub("--insecure", f"--control-api-address=127.0.0.1:{port}", PYTHONPATH=str(patch))
    hub.wait_for("ready")
    bench.run_at(f"127.0.0.1:{port}").end()


def _over_tls(
    bench: Bench,
    name: str = "127.0.0.1",
    *,
    before: datetime.datetime | None = None,
    after: datetime.datetime | None = None,
    believed: trustme.CA | None = None,
) -> None:
    """Run an app at a server that shows a certificate."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name, not_before=before, not_after=after).configure_cert(context)
    ca = bench.folder / "ca.crt"
    (believed or authority).cert_pem.write_to_path(ca)
    with _listening(tls=context) as port:
        bench.run_at(f"127.0.0.1:{port}", f"root-certificates = '{ca}'").end()


@injection
def wrong_ca(bench: Bench) -> None:
    _over_tls(bench, believed=trustme.CA())


@injection
def wrong_name_in_certificate(bench: Bench) -> None:
    _over_tls(bench, "hub.example")


@injection
def clock_skew(bench: Bench) -> None:
    now = datetime.datetime.now(datetime.UTC)
    _over_tls(bench, before=now + DAY, after=now + 2 * DAY)


@injection
def clock_skew_expired(bench: Bench) -> None:
    now = datetime.datetime.now(datetime.UTC)
    _over_tls(bench, before=now - 2 * DAY, after=now - DAY)


@injection
def plain_to_tls(bench: Bench) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with _listening(tls=context) as port:
        bench.run_at(f"127.0.0.1:{port}").end()


@injection
def port_taken(bench: Bench) -> None:
    with _listening() as port:
        bench.hub("--insecure", f"--fleet-api-address=127.0.0.1:{port}").end()


# --- disks and files

FULL = """
import sqlite3.dbapi2 as driver
right = driver.connect
def connect(*given, **named):
    connection = right(*given, **named)
    connection.execute("PRAGMA max_page_count=8")  # what SQLite says is what a full disk makes it
    return connection
driver.connect = connect
"""


@injection
def disk_full_here(bench: Bench) -> None:
    bench.run(bench.app(), PYTHONPATH=str(write_patch(bench.folder / "patch", FULL)))


@injection
def home_not_writable(bench: Bench) -> None:
    bench.run(bench.app(), FLWR_HOME="/proc/flwr")  # not even root may write there


@injection
def database_damaged(bench: Bench) -> None:
    folder = bench.home / "wildflower"
    folder.mkdir(parents=True)
    (folder / "runs.db").write_bytes(b"this is no database at all" * 100)
    bench.run(bench.app())


@injection
def database_newer(bench: Bench) -> None:
    database = bench.folder / "state.db"
    hub = bench.hub("--insecure", f"--database={database}")
    hub.wait_for("ready")
    hub.process.terminate()
    hub.end()
    _make_newer(database)
    bench.hub("--insecure", f"--database={database}")


def _make_newer(database: Path) -> None:
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")


# --- bundles and configuration


@injection
def project_malformed(bench: Bench) -> None:
    bench.run(bench.app(project={'name = "tiny"\n': "name = tiny\n"}))


@injection
def project_key_misspelt(bench: Bench) -> None:
    bench.run(bench.app(project={"publisher =": "publsher ="}))


@injection
def bundle_damaged(bench: Bench) -> None:
    app = bench.app()
    built = bench.start("flwr", "build", "--app", app)
    assert built.end() == 0, built.text
    (bundle,) = bench.folder.glob("**/*.fab")
    bundle.write_bytes(bundle.read_bytes()[:300])
    bench.start("flwr", "install", bundle)


@injection
def run_config_key_unknown(bench: Bench) -> None:
    bench.run(bench.app(), "-c", "num-rounds=3")


@injection
def run_config_type(bench: Bench) -> None:
    bench.run(bench.app(), "-c", "learning-rate=fast")


@injection
def run_config_unparsable(bench: Bench) -> None:
    bench.run(bench.app(), "-c", "hello")


@injection
def connection_unknown(bench: Bench) -> None:
    bench.run(bench.app(), "pare")
