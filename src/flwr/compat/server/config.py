"""How a legacy run is configured, and the parts that a ``server_fn`` returns."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flwr.compat.server.client_manager import ClientManager
    from flwr.compat.server.server import Server
    from flwr.compat.strategy.strategy import Strategy


@dataclass
class ServerConfig:
    """How many rounds, and how long each may wait for its clients.

    Attributes
    ----------
    num_rounds : int, default 1
        Rounds of training and evaluation.
    round_timeout : float, optional
        Seconds to wait for the results of a phase; by default as long as it takes.
    """

    num_rounds: int = 1
    round_timeout: float | None = None

    def __repr__(self) -> str:
        timeout = (
            f"round_timeout={self.round_timeout}s" if self.round_timeout else "no round_timeout"
        )
        return f"num_rounds={self.num_rounds}, {timeout}"


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

    server: "Server | None" = None
    config: ServerConfig | None = None
    strategy: "Strategy | None" = None
    client_manager: "ClientManager | None" = None
