"""``start_server`` and ``start_client``: a legacy federation of scripts, without any command."""

import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from logging import ERROR, INFO, WARNING
from pathlib import Path
from typing import Any, NoReturn

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.compat.client import Client, NumPyClient
from flwr.compat.clients.client_manager import ClientManager
from flwr.compat.clients.grid_clients import RECONNECT, reconnect_seconds
from flwr.compat.server.config import ServerConfig
from flwr.compat.server.history import History
from flwr.compat.server.run import run_on
from flwr.compat.server.server import Server
from flwr.compat.strategy.strategy import Strategy
from flwr.errors import AddressError
from flwr.log import log, warn_deprecated_feature
from flwr.transport.address import Address, parse
from flwr.transport.tls import ClientTls, ServerTls

GRPC_MAX_MESSAGE_LENGTH = 2_147_483_647  # bytes; messages have no such limit here
_TRANSPORTS = ("grpc-bidi", "grpc-rere", "grpc-adapter", "rest")


def start_server(
    *,
    server_address: str = "[::]:8080",
    server: Server | None = None,
    config: ServerConfig | None = None,
    strategy: Strategy | None = None,
    client_manager: ClientManager | None = None,
    grpc_max_message_length: int = GRPC_MAX_MESSAGE_LENGTH,
    certificates: tuple[bytes, bytes, bytes] | None = None,
) -> History:
    """Serve clients that call `start_client`, and run the rounds. Deprecated.

    Parameters
    ----------
    server_address : str, default "[::]:8080"
        Where clients connect; ``[::]`` is all interfaces.
    server, config, strategy, client_manager : optional
        As for a ServerApp.
    grpc_max_message_length : int, optional
        Has no effect: messages may be of any size.
    certificates : tuple of bytes, optional
        For TLS, as PEM: the CA's certificate, the server's, and its private key.

    Returns
    -------
    History
        What was measured.

    Raises
    ------
    SystemExit
        If the address cannot be read.
    FlwrError
        If it is in use, or the certificates cannot be used.
    """
    warn_deprecated_feature(
        "flwr.server.start_server(): start a SuperLink with the command `flower-superlink`, and "
        "the app with `flwr run`."
    )
    from flwr.compat.inner_hub import inner_hub  # loads servers and databases

    address = _server_address(server_address)
    config = ServerConfig() if config is None else config
    log(INFO, "Starting Flower server, config: %s", config)
    with _terminable(), _folder() as folder:
        tls = None if certificates is None else _server_tls(certificates, folder)
        with inner_hub(address, tls, folder) as grid:
            # scripts wait for this line, which names a transport of others
            log(
                INFO,
                "Flower ECE: gRPC server running (%s rounds), SSL is %s",
                config.num_rounds,
                "disabled" if tls is None else "enabled",
            )
            return run_on(grid, server, config, strategy, client_manager)


def start_client(
    *,
    server_address: str,
    client_fn: Callable[[Context], Client] | None = None,
    client: Client | None = None,
    grpc_max_message_length: int = GRPC_MAX_MESSAGE_LENGTH,
    root_certificates: bytes | str | None = None,
    insecure: bool | None = None,
    transport: str | None = None,
    authentication_keys: tuple[Any, Any] | None = None,
    max_retries: int | None = None,
    max_wait_time: float | None = None,
) -> None:
    """Connect to a `start_server` and answer what it asks, until it is done. Deprecated.

    Parameters
    ----------
    server_address : str
        ``host:port``.
    client_fn : Callable[[Context], Client], optional
        Makes a client for each message.
    client : Client, optional
        The client for all of them. It is called in the calling thread.
    grpc_max_message_length : int, optional
        Has no effect: messages may be of any size.
    root_certificates : bytes or str, optional
        The CA's certificate as PEM, or the path of such a file.
    insecure : bool, optional
        Whether to connect without TLS. By default, if there are no root certificates; False
        without them trusts those that the system does.
    transport : str, optional
        Has no effect: there is one transport.
    authentication_keys : optional
        Refused: a `start_server` does not check them.
    max_retries : int, optional
        How often in a row to try again when the server does not answer; no limit by default.
    max_wait_time : float, optional
        Seconds for which to do so; no limit by default.

    Raises
    ------
    ValueError
        If arguments contradict each other.
    SystemExit
        If the address cannot be read.
    LinkError
        If the server cannot be reached within these limits, or refuses.
    Exception
        What the client raised. The server is told before.
    """
    warn_deprecated_feature(
        "flwr.client.start_client(): start a SuperNode with the command `flower-supernode`."
    )
    from flwr.compat.inner_node import Patience, take_part  # loads the link

    app = _app_of(client, client_fn)
    _check_transport(transport, authentication_keys)
    if insecure and root_certificates is not None:
        raise ValueError(
            "Invalid configuration: 'root_certificates' should not be provided when 'insecure' is "
            "set to True. Omit one of them."
        )
    address = _client_address(server_address)
    patience = Patience(float("inf") if max_wait_time is None else max_wait_time, max_retries)
    farewell: list[int | None] = []

    def answer(message: Message, context: Context) -> Message:
        kind = message.metadata.message_type
        log(INFO, "")
        log(INFO, "Received: %s message %s", kind, message.metadata.message_id)
        if kind == RECONNECT:
            farewell.append(reconnect_seconds(message.content))
            return Message(RecordDict(), reply_to=message)
        return app(message, context)

    while True:
        with _terminable(), _folder() as folder:  # one that comes back is another client
            tls = None
            if root_certificates is not None or insecure is False:
                tls = _client_tls(root_certificates, folder)
            take_part(answer, RECONNECT, address, tls, patience, folder)
        seconds = farewell.pop()
        if seconds is None:
            log(INFO, "Disconnect and shut down")
            return
        log(INFO, "Disconnect, and come back in %s s", seconds)
        threading.Event().wait(seconds)


def start_numpy_client(
    *,
    server_address: str,
    client: NumPyClient,
    grpc_max_message_length: int = GRPC_MAX_MESSAGE_LENGTH,
    root_certificates: bytes | None = None,
    insecure: bool | None = None,
    transport: str | None = None,
) -> None:
    """Do what `start_client` does, with a client that works on NumPy arrays. Deprecated."""
    warn_deprecated_feature(
        "flwr.client.start_numpy_client(): use `start_client(client=client.to_client(), …)`, or "
        "the command `flower-supernode`."
    )
    start_client(
        server_address=server_address,
        client=client.to_client(),
        grpc_max_message_length=grpc_max_message_length,
        root_certificates=root_certificates,
        insecure=insecure,
        transport=transport,
    )


def _app_of(client: Any, client_fn: Callable[[Context], Client] | None) -> ClientApp:
    if client is not None and client_fn is not None:
        raise ValueError("Both `client_fn` and `client` are provided, but only one is allowed")
    if client_fn is not None:
        return ClientApp(client_fn=client_fn)
    if client is None:
        raise ValueError("Both `client_fn` and `client` are `None`, but one is required")
    if not isinstance(client, Client | NumPyClient):
        raise TypeError(f"`client` must be a Client, not {type(client).__name__}.")
    given = client.to_client()
    return ClientApp(client_fn=lambda context: given)


def _check_transport(transport: str | None, authentication_keys: object) -> None:
    if transport not in (None, *_TRANSPORTS):
        raise ValueError(
            f"Transport type {transport} is not supported. Use 'grpc-bidi' or None (default) "
            "instead."
        )
    if transport not in (None, "grpc-bidi"):
        log(WARNING, "transport='%s' has no effect: there is one transport, HTTP.", transport)
    if authentication_keys is not None:
        raise ValueError("authentication_keys: a server of `start_server` does not check them.")


def _server_address(text: str) -> Address:
    try:
        return parse(text)
    except AddressError as error:
        sys.exit(f"Server IP address ({text}) cannot be parsed. {error}")


def _client_address(text: str) -> Address:
    try:
        return parse(text)
    except AddressError as error:
        log(ERROR, "SuperLink address (%s) cannot be parsed. %s", text, error)
        sys.exit(1)


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end the script as Ctrl+C does, unless it has plans of its own for it."""
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def leave(number: int, _: object) -> NoReturn:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def _folder() -> Iterator[Path]:
    """Give a folder that only this user can read, for as long as it is needed."""
    with tempfile.TemporaryDirectory(prefix="flwr-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _server_tls(certificates: tuple[bytes, bytes, bytes], folder: Path) -> ServerTls:
    if not isinstance(certificates, tuple | list) or len(certificates) != 3:
        raise ValueError(
            "certificates must be three PEM texts: the CA's certificate, the server's, its key."
        )
    names = ("ca.pem", "server.pem", "server.key")
    ca, certificate, key = (
        _written(folder / name, text) for name, text in zip(names, certificates, strict=True)
    )
    tls = ServerTls(certificate, key, ca)
    tls.check()
    return tls


def _client_tls(root_certificates: bytes | str | None, folder: Path) -> ClientTls:
    if root_certificates is None:
        return ClientTls()
    if not isinstance(root_certificates, bytes):
        root_certificates = Path(root_certificates).read_bytes()
    return ClientTls(_written(folder / "root.pem", root_certificates))


def _written(path: Path, text: bytes) -> Path:
    path.write_bytes(text)
    return path
