"""The health endpoint of a node: ``GET /health`` says that it is there."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from flwr.errors import AddressError
from flwr.transport.address import Address

_SILENCE = 10.0  # seconds after which a connection that says nothing is closed


class _Answer(BaseHTTPRequestHandler):
    timeout = _SILENCE

    def do_GET(self) -> None:
        """Answer 200 without a body at ``/health``."""
        self.send_response(200 if self.path == "/health" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET  # noqa: N815  (as inherited)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (as inherited)
        """Say nothing: orchestrators ask every few seconds."""


@contextlib.contextmanager
def health_endpoint(address: Address) -> Iterator[int]:
    """Serve the endpoint while the body runs; yields the port.

    Raises
    ------
    AddressError
        If the address cannot be used.
    """

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        daemon_threads = True

    try:
        server = Server((address.host, address.port), _Answer)
    except OSError as error:
        raise AddressError(
            f"The health endpoint cannot listen at {address}: {error.strerror}.",
            hint="Give another --health-server-address.",
        ) from error
    with server:
        threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
