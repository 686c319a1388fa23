"""`FaultTolerantFedAvg` of the legacy API."""

from collections.abc import Sequence
from typing import Any

from flwr.compat.strategy.fedavg import ConfigFn, EvaluateFn, FedAvg
from flwr.compat.typing import MetricsAggregationFn, Parameters


class FaultTolerantFedAvg(FedAvg):
    """Federated averaging of rounds in which enough clients did not fail.

    Parameters
    ----------
    fraction_fit, fraction_evaluate
        As for :class:`FedAvg`.
    min_fit_clients, min_evaluate_clients, min_available_clients : int, default 1
        As for :class:`FedAvg`.
    evaluate_fn, on_fit_config_fn, on_evaluate_config_fn, initial_parameters
        As for :class:`FedAvg`.
    min_completion_rate_fit, min_completion_rate_evaluate : float, default 0.5
        The share of results among results and failures below which a round changes nothing.
    fit_metrics_aggregation_fn, evaluate_metrics_aggregation_fn
        As for :class:`FedAvg`.
    """

    def __init__(
        self,
        *,
        fraction_fit: float = 1.0,
        fraction_evaluate: float = 1.0,
        min_fit_clients: int = 1,
        min_evaluate_clients: int = 1,
        min_available_clients: int = 1,
        evaluate_fn: EvaluateFn | None = None,
        on_fit_config_fn: ConfigFn | None = None,
        on_evaluate_config_fn: ConfigFn | None = None,
        min_completion_rate_fit: float = 0.5,
        min_completion_rate_evaluate: float = 0.5,
        initial_parameters: Parameters | None = None,
        fit_metrics_aggregation_fn: MetricsAggregationFn | None = None,
        evaluate_metrics_aggregation_fn: MetricsAggregationFn | None = None,
    ) -> None:
        super().__init__(
            fraction_fit=fraction_fit,
            fraction_evaluate=fraction_evaluate,
            min_fit_clients=min_fit_clients,
            min_evaluate_clients=min_evaluate_clients,
            min_available_clients=min_available_clients,
            evaluate_fn=evaluate_fn,
            on_fit_config_fn=on_fit_config_fn,
            on_evaluate_config_fn=on_evaluate_config_fn,
            initial_parameters=initial_parameters,
            fit_metrics_aggregation_fn=fit_metrics_aggregation_fn,
            evaluate_metrics_aggregation_fn=evaluate_metrics_aggregation_fn,
        )
        self.completion_rate_fit = min_completion_rate_fit
        self.completion_rate_evaluate = min_completion_rate_evaluate

    def __repr__(self) -> str:
        return "FaultTolerantFedAvg()"

    def _suffices_for(self, results: Sequence[Any], failures: Sequence[Any], phase: str) -> bool:
        least = self.completion_rate_fit if phase == "fit" else self.completion_rate_evaluate
        return bool(results) and len(results) / (len(results) + len(failures)) >= least
