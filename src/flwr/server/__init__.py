"""The server's half of the legacy API; new apps use `flwr.serverapp`."""

from flwr.compat.clients.client_manager import ClientManager as ClientManager
from flwr.compat.clients.client_manager import SimpleClientManager as SimpleClientManager
from flwr.compat.server.components import ServerAppComponents as ServerAppComponents
from flwr.compat.server.config import ServerConfig as ServerConfig
from flwr.compat.server.history import History as History
from flwr.compat.server.legacy_context import LegacyContext as LegacyContext
from flwr.compat.server.server import Server as Server
from flwr.compat.start import start_server as start_server
from flwr.server import strategy as strategy
from flwr.server import workflow as workflow
from flwr.server.grid import Driver as Driver
from flwr.serverapp import Grid as Grid
from flwr.serverapp import ServerApp as ServerApp

__all__ = [
    "ClientManager", "Driver", "Grid", "History", "LegacyContext", "Server", "ServerApp",
    "ServerAppComponents", "ServerConfig", "SimpleClientManager", "start_server", "strategy",
    "workflow",
]  # fmt: skip
