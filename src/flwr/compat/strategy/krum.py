"""`Krum` of the legacy API."""

from collections.abc import Iterable

from flwr.compat.strategy.fedavg import ConfigFn, EvaluateFn, FedAvg, FitResults
from flwr.compat.strategy.selecting import best_by_krum
from flwr.compat.strategy.updates import updates_of
from flwr.compat.typing import MetricsAggregationFn, Parameters
from flwr.serverapp.strategy.replies import Update
from flwr.serverapp.strategy.settings import check_count


class Krum(FedAvg):
    """The model that lies closest to most of the others, or the weighted mean of several such.

    With n results, f of which may be malicious, a model's score is the sum of the squared Euclidean
    distances to the ``n - f - 2`` other models that are closest to it. Metrics are those of all
    clients.

    Parameters
    ----------
    fraction_fit, fraction_evaluate, min_fit_clients, min_evaluate_clients, min_available_clients
        As for :class:`FedAvg`.
    num_malicious_clients : int, default 0
        ``f``. With fewer than ``2 f + 3`` results there is no guarantee, and a warning.
    num_clients_to_keep : int, default 0
        How many models are averaged (Multi-Krum), at most all that there are; 0 takes the best one
        as it is.
    evaluate_fn, on_fit_config_fn, on_evaluate_config_fn, accept_failures
        As for :class:`FedAvg`.
    fit_metrics_aggregation_fn, evaluate_metrics_aggregation_fn
        As for :class:`FedAvg`.
    initial_parameters
        As for :class:`FedAvg`.

    Notes
    -----
    A model with a value that is not finite is infinitely far from all others.

    Blanchard et al., Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent,
    https://arxiv.org/abs/1703.02757
    """

    def __init__(
        self,
        *,
        fraction_fit: float = 1.0,
        fraction_evaluate: float = 1.0,
        min_fit_clients: int = 2,
        min_evaluate_clients: int = 2,
        min_available_clients: int = 2,
        num_malicious_clients: int = 0,
        num_clients_to_keep: int = 0,
        evaluate_fn: EvaluateFn | None = None,
        on_fit_config_fn: ConfigFn | None = None,
        on_evaluate_config_fn: ConfigFn | None = None,
        accept_failures: bool = True,
        initial_parameters: Parameters | None = None,
        fit_metrics_aggregation_fn: MetricsAggregationFn | None = None,
        evaluate_metrics_aggregation_fn: MetricsAggregationFn | None = None,
    ) -> None:
        check_count("num_malicious_clients", num_malicious_clients, least=0)
        check_count("num_clients_to_keep", num_clients_to_keep, least=0)
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
        self.num_malicious_clients = num_malicious_clients
        self.num_clients_to_keep = num_clients_to_keep

    def _results_to_reduce(self, server_round: int, results: FitResults) -> Iterable[Update]:
        updates = updates_of(results)
        return best_by_krum(updates, self.num_malicious_clients, self.num_clients_to_keep)
