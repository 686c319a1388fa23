"""`ServerAppComponents`: the parts that a ``server_fn`` returns."""

from dataclasses import dataclass

from flwr.compat.clients.client_manager import ClientManager
from flwr.compat.server.config import ServerConfig
from flwr.compat.server.server import Server
from flwr.compat.strategy.strategy import Strategy


@dataclass
class ServerAppComponents:
    """The parts of a legacy ServerApp; what is left out takes its default.

    Attributes
    ----------
    server : Server, optional
        The loop; by default one over `strategy` and `client_manager`.
    config : ServerConfig, optional
        By default one round.
    strategy : Strategy, optional
        By default `FedAvg`.
    client_manager : ClientManager, optional
        By default one that follows the federation's nodes.
    """

    server: Server | None = None
    config: ServerConfig | None = None
    strategy: Strategy | None = None
    client_manager: ClientManager | None = None
