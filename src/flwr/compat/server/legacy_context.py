"""`LegacyContext`: the context of a legacy workflow."""

from flwr.app import Context, RecordDict
from flwr.compat.clients.client_manager import ClientManager, SimpleClientManager
from flwr.compat.server.config import ServerConfig
from flwr.compat.server.history import History
from flwr.compat.strategy.fedavg import FedAvg
from flwr.compat.strategy.strategy import Strategy


class LegacyContext(Context):
    """A context with the parts that a legacy workflow works on.

    Parameters
    ----------
    context : Context
        Whose run and state it shares.
    config : ServerConfig, optional
        By default one round.
    strategy : Strategy, optional
        By default `FedAvg`.
    client_manager : ClientManager, optional
        By default a `SimpleClientManager`.

    Attributes
    ----------
    history : History
        What was measured so far.
    """

    def __init__(
        self,
        context: Context,
        config: ServerConfig | None = None,
        strategy: Strategy | None = None,
        client_manager: ClientManager | None = None,
    ) -> None:
        self._within = context
        super().__init__(
            run_id=context.run_id,
            node_id=context.node_id,
            node_config=context.node_config,
            state=context.state,
            run_config=context.run_config,
            series_id=context.series_id,
        )
        self.config = ServerConfig() if config is None else config
        self.strategy = FedAvg() if strategy is None else strategy
        self.client_manager = SimpleClientManager() if client_manager is None else client_manager
        self.history = History()

    @property
    def state(self) -> RecordDict:
        """The state of the context that was given, which may get another one."""
        return self._within.state

    @state.setter
    def state(self, value: RecordDict) -> None:
        self._within.state = value
