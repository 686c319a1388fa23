"""`FedAdam` of the legacy API."""

from flwr.compat.strategy.fedavg import ConfigFn, EvaluateFn
from flwr.compat.strategy.fedopt import FedOpt
from flwr.compat.typing import MetricsAggregationFn, Parameters
from flwr.serverapp.strategy.serversteps import Adam, BiasCorrection


class FedAdam(FedOpt):
    """Averages, and steps by Adam on the server.

    With ``D = mean - w``: ``m = beta_1 m + (1 - beta_1) D``, ``v = beta_2 v + (1 - beta_2) D^2``,
    ``w += eta_t m / (sqrt(v) + tau)``.

    Parameters
    ----------
    fraction_fit, fraction_evaluate, min_fit_clients, min_evaluate_clients, min_available_clients
        As for :class:`FedAvg`.
    evaluate_fn, on_fit_config_fn, on_evaluate_config_fn, accept_failures
        As for :class:`FedAvg`.
    fit_metrics_aggregation_fn, evaluate_metrics_aggregation_fn
        As for :class:`FedAvg`.
    initial_parameters : Parameters
        The model to begin with.
    eta : float, default 0.1
        The server's learning rate.
    eta_l : float, default 0.1
        The clients' learning rate: stored only.
    beta_1, beta_2 : float, default 0.9 and 0.99
        How slowly ``m_t`` and ``v_t`` forget; from 0 to below 1.
    tau : float, default 1e-9
        How little the step adapts: added to ``sqrt(v_t)``.
    bias_correction : {"flwr", "adam", "none"}, default "flwr"
        ``eta_t``: "none" is eta, as in the paper; "adam" multiplies it by
        ``sqrt(1 - beta_2^t) / (1 - beta_1^t)``, where ``t`` is the round; "flwr" takes ``t + 1``
        for ``t``, as Flower does.
    v_init : float, default 0.0
        What ``v_t`` starts from; the paper wants ``tau**2`` or more.

    Attributes
    ----------
    current_weights, m_t, v_t
        As for :class:`FedOpt`.
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
        initial_parameters: Parameters,
        fit_metrics_aggregation_fn: MetricsAggregationFn | None = None,
        evaluate_metrics_aggregation_fn: MetricsAggregationFn | None = None,
        eta: float = 0.1,
        eta_l: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        tau: float = 1e-9,
        bias_correction: BiasCorrection = "flwr",
        v_init: float = 0.0,
    ) -> None:
        self.bias_correction = bias_correction
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
            eta=eta,
            eta_l=eta_l,
            beta_1=beta_1,
            beta_2=beta_2,
            tau=tau,
            v_init=v_init,
        )

    def _optimiser_rule(self, server_round: int) -> Adam:
        return Adam(
            self.eta,
            self.tau,
            self.beta_1,
            self.beta_2,
            self.v_init,
            bias_correction=self.bias_correction,
            server_round=server_round,
        )
