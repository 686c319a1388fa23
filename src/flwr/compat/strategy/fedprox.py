"""`FedProx` of the legacy API."""

from flwr.compat.clients.client_manager import ClientManager
from flwr.compat.clients.client_proxy import ClientProxy
from flwr.compat.strategy.fedavg import ConfigFn, EvaluateFn, FedAvg
from flwr.compat.typing import FitIns, MetricsAggregationFn, Parameters
from flwr.serverapp.strategy.settings import check_range


class FedProx(FedAvg):
    """Averages; the clients add a term to their loss that keeps them near the model they were sent.

    Client ``k`` minimises ``F_k(w) + mu / 2 ||w - w_t||^2``: the square of the norm over all
    parameters together. It reads ``mu`` from its configuration::

        distance = sum(((w - sent) ** 2).sum() for w, sent in zip(parameters, received))
        loss = criterion(...) + config["proximal_mu"] / 2 * distance

    Parameters
    ----------
    fraction_fit, fraction_evaluate, min_fit_clients, min_evaluate_clients, min_available_clients
        As for :class:`FedAvg`.
    evaluate_fn, on_fit_config_fn, on_evaluate_config_fn, accept_failures
        As for :class:`FedAvg`.
    fit_metrics_aggregation_fn, evaluate_metrics_aggregation_fn
        As for :class:`FedAvg`.
    initial_parameters
        As for :class:`FedAvg`.
    proximal_mu : float
        ``mu``, sent as ``proximal_mu``; 0 or more.

    Notes
    -----
    Li et al., Federated Optimization in Heterogeneous Networks, https://arxiv.org/abs/1812.06127
    """

    def __init__(
        self,
        *,
        fraction_fit: float = 1.0,
        fraction_evaluate: float = 1.0,
        min_fit_clients: int = 2,
        min_evaluate_clients: int = 2,
        min_available_clients: int = 2,
        evaluate_fn: EvaluateFn | None = None,
        on_fit_config_fn: ConfigFn | None = None,
        on_evaluate_config_fn: ConfigFn | None = None,
        accept_failures: bool = True,
        initial_parameters: Parameters | None = None,
        fit_metrics_aggregation_fn: MetricsAggregationFn | None = None,
        evaluate_metrics_aggregation_fn: MetricsAggregationFn | None = None,
        proximal_mu: float,
    ) -> None:
        check_range("proximal_mu", proximal_mu)
        super().__init__(
            fraction_fit=fraction_fit,
            fraction_evaluate=fraction_evaluate,
            min_fit_clients=min_fit_clients,
            min_evaluate_clients=min_evaluate_clients,
            min_available_clients=min_available_clients,
            evaluate_fn=evaluate_fn,
            on_fit_config_fn=on_fit_config_fn,
            on_evaluate_config_fn=on_evaluate_config_fn,
            accept_failures=accept_failures,
            initial_parameters=initial_parameters,
            fit_metrics_aggregation_fn=fit_metrics_aggregation_fn,
            evaluate_metrics_aggregation_fn=evaluate_metrics_aggregation_fn,
        )
        self.proximal_mu = proximal_mu

    def configure_fit(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, FitIns]]:
        """Draw the clients that train; each has its own configuration, with ``proximal_mu``."""
        return [
            (client, FitIns(ins.parameters, {**ins.config, "proximal_mu": self.proximal_mu}))
            for client, ins in super().configure_fit(server_round, parameters, client_manager)
        ]
