"""Federated averaging with Yogi on the server."""

from flwr.serverapp.strategy.fedopt import FedOpt
from flwr.serverapp.strategy.metrics import MetricsFunction
from flwr.serverapp.strategy.serversteps import Yogi


class FedYogi(FedOpt):
    """Averages, and steps by Yogi on the server [1]_, Algorithm 2.

    With ``D = mean - w``: ``m = beta_1 m + (1 - beta_1) D``,
    ``v -= (1 - beta_2) D^2 sign(v - D^2)``, ``w += eta m / (sqrt(v) + tau)``. Use it like FedAdam;
    as ``v`` shrinks more slowly, sudden small gradients do not make its steps large.

    Parameters
    ----------
    fraction_train, fraction_evaluate, min_train_nodes, min_evaluate_nodes, min_available_nodes
        As for :class:`FedAvg`.
    weighted_by_key, arrayrecord_key, configrecord_key
        As for :class:`FedAvg`.
    train_metrics_aggr_fn, evaluate_metrics_aggr_fn
        As for :class:`FedAvg`.
    eta : float, default 0.01
        The server's learning rate.
    eta_l : float, default 0.0316
        The clients' learning rate: stored and logged only.
    beta_1, beta_2 : float, default 0.9 and 0.99
        How slowly ``m_t`` and ``v_t`` forget; from 0 to below 1.
    tau : float, default 1e-3
        How little the step adapts: added to ``sqrt(v_t)``.
    v_init : float, default 0.0
        What ``v_t`` starts from; the paper wants ``tau**2`` or more.

    Attributes
    ----------
    current_arrays, m_t, v_t
        As for ``FedOpt``: the model that was sent out last, and the moments, by array.

    References
    ----------
    .. [1] Reddi et al., Adaptive Federated Optimization, https://arxiv.org/abs/2003.00295
    """

    def __init__(
        self,
        *,
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
        eta: float = 0.01,
        eta_l: float = 0.0316,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        tau: float = 1e-3,
        v_init: float = 0.0,
    ) -> None:
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
            eta=eta,
            eta_l=eta_l,
            beta_1=beta_1,
            beta_2=beta_2,
            tau=tau,
            v_init=v_init,
        )

    def _rule(self, server_round: int) -> Yogi:
        return Yogi(self.eta, self.tau, self.beta_1, self.beta_2, self.v_init)
