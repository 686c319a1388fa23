"""Federated averaging with Adagrad on the server."""

from flwr.serverapp.strategy.fedopt import FedOpt
from flwr.serverapp.strategy.metrics import MetricsFunction
from flwr.serverapp.strategy.serversteps import Adagrad


class FedAdagrad(FedOpt):
    """Averages, and steps by Adagrad on the server [1]_, Algorithm 2 with beta_1 = 0.

    With ``D = mean - w``: ``m = D``, ``v += D^2``, ``w += eta m / (sqrt(v) + tau)``. Use it where
    gradients are sparse, as with embeddings: steps of rarely moved values stay large.

    Parameters
    ----------
    fraction_train, fraction_evaluate, min_train_nodes, min_evaluate_nodes, min_available_nodes
        As for :class:`FedAvg`.
    weighted_by_key, arrayrecord_key, configrecord_key
        As for :class:`FedAvg`.
    train_metrics_aggr_fn, evaluate_metrics_aggr_fn
        As for :class:`FedAvg`.
    eta : float, default 0.1
        The server's learning rate.
    eta_l : float, default 0.1
        The clients' learning rate: stored and logged only.
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
        eta: float = 0.1,
        eta_l: float = 0.1,
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
            tau=tau,
            v_init=v_init,
        )

    def _rule(self, server_round: int) -> Adagrad:
        return Adagrad(self.eta, self.tau, self.beta_1, v_init=self.v_init)
