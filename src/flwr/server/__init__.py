"""The server's half of the legacy API; new apps use `flwr.serverapp`."""

from flwr.compat.clients.client_manager import ClientManager as ClientManager
from flwr.compat.clients.client_manager import SimpleClientManager as SimpleClientManager
from flwr.compat.server.components import ServerAppComponents as ServerAppComponents
from flwr.compat.server.config import ServerConfig as ServerConfig
from flwr.compat.server.history import History as History
from flwr.compat.server.legacy_context import LegacyContext as LegacyContext
from flwr.compat.server.server import Server as Server
from flwr.compat.start import start_server as start_server
from flwr.server import app as app
from flwr.server import client_manager as client_manager
from flwr.server import client_proxy as client_proxy
from flwr.server import compat as compat
from flwr.server import criterion as criterion
from flwr.server import history as history
from flwr.server import server as server
from flwr.server import server_config as server_config
from flwr.server import strategy as strategy
from flwr.server import utils as utils
from flwr.server import workflow as workflow
from flwr.server.grid import Driver as Driver
from flwr.serverapp import Grid as Grid
from flwr.serverapp import ServerApp as ServerApp

__all__ = [
    "ClientManager", "Driver", "Grid", "History", "LegacyContext", "Server", "ServerApp",
    "ServerAppComponents", "ServerConfig", "SimpleClientManager", "start_server", "strategy",
    "workflow",
]  # fmt: skip
