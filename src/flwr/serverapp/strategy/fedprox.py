"""Federated averaging of clients that are held back from drifting away."""

from collections.abc import Iterable
from logging import INFO, WARNING

from flwr.app import ArrayRecord, ConfigRecord, Message
from flwr.log import log
from flwr.serverapp.grid import Grid
from flwr.serverapp.strategy.fedavg import FedAvg
from flwr.serverapp.strategy.metrics import MetricsFunction
from flwr.serverapp.strategy.settings import check_range


class FedProx(FedAvg):
    """Averages as FedAvg; clients add a proximal term to their loss [1]_, equation 2.

    A client minimises ``F(w) + (mu / 2) ||w - w_t||^2``, where ``w_t`` is the model it was sent and
    the norm, squared, is over all parameters together. Use it where nodes hold very different data
    or do different amounts of work. The server only sends ``mu``, under ``"proximal-mu"`` in the
    training configuration; the client's code adds the term, in PyTorch for example::

        mu = message.content["config"]["proximal-mu"]
        sent = [parameter.detach().clone() for parameter in model.parameters()]
        ...
        drift = sum((p - s).square().sum() for p, s in zip(model.parameters(), sent))
        loss = criterion(model(x), y) + mu / 2 * drift

    Parameters
    ----------
    fraction_train, fraction_evaluate, min_train_nodes, min_evaluate_nodes, min_available_nodes
        As for :class:`FedAvg`.
    weighted_by_key, arrayrecord_key, configrecord_key
        As for :class:`FedAvg`.
    train_metrics_aggr_fn, evaluate_metrics_aggr_fn
        As for :class:`FedAvg`.
    proximal_mu : float, default 0.0
        ``mu``; 0 makes this FedAvg.

    References
    ----------
    .. [1] Li et al., Federated Optimization in Heterogeneous Networks,
       https://arxiv.org/abs/1812.06127
    """

    def __init__(
        self,
        fraction_train: float = 1.0,
        fraction_evaluate: float = 1.0,
        min_train_nodes: int = 2,
        min_evaluate_nodes: int = 2,
        min_available_nodes: int = 2,
        weighted_by_key: str = "num-examples",
        arrayrecord_key: str = "arrays",
        configrecord_key: str = "config",
        train_metrics_aggr_fn: MetricsFunction | None = None,
        evaluate_metrics_aggr_fn: MetricsFunction | None = None,
        proximal_mu: float = 0.0,
    ) -> None:
        check_range("proximal_mu", proximal_mu)
        super().__init__(
            fraction_train=fraction_train,
            fraction_evaluate=fraction_evaluate,
            min_train_nodes=min_train_nodes,
            min_evaluate_nodes=min_evaluate_nodes,
            min_available_nodes=min_available_nodes,
            weighted_by_key=weighted_by_key,
            arrayrecord_key=arrayrecord_key,
            configrecord_key=configrecord_key,
            train_metrics_aggr_fn=train_metrics_aggr_fn,
            evaluate_metrics_aggr_fn=evaluate_metrics_aggr_fn,
        )
        self.proximal_mu = proximal_mu
        if proximal_mu == 0.0:
            log(
                WARNING,
                "FedProx initialized with `proximal_mu=0.0`. "
                "This makes the strategy equivalent to FedAvg.",
            )

    def summary(self) -> None:
        """Log ``mu``, then FedAvg's settings."""
        log(INFO, "\t├──> FedProx settings:")
        log(INFO, "\t│\t└── Proximal mu: %s", self.proximal_mu)
        super().summary()

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Draw this round's nodes and send them the model and the configuration.

        The configuration that is sent is a copy with ``proximal-mu`` and ``server-round`` added.
        """
        config = config.copy()
        config["proximal-mu"] = self.proximal_mu
        return super().configure_train(server_round, arrays, config, grid)
