"""`FedTrimmedAvg` of the legacy API."""

from functools import partial

from flwr.app import ArrayRecord
from flwr.compat.strategy.fedavg import ConfigFn, EvaluateFn, FedAvg
from flwr.compat.typing import MetricsAggregationFn, Parameters
from flwr.serverapp.strategy.columnwise import Columnwise, trimmed_mean
from flwr.serverapp.strategy.reducers import Reducer
from flwr.serverapp.strategy.settings import check_number


class FedTrimmedAvg(FedAvg):
    """The mean of the clients' models without the extremes, coordinate by coordinate.

    For each coordinate, the ``int(beta * n)`` smallest and as many largest of the n clients' values
    are left out, and the others averaged; all clients count the same.

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
    beta : float, default 0.2
        The share of values that is left out at each end, from 0 to below 0.5.

    Raises
    ------
    ValueError
        If ``beta`` is no number or out of range.

    Notes
    -----
    Yin et al., Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates,
    https://arxiv.org/abs/1803.01498, Definition 2
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
        beta: float = 0.2,
    ) -> None:
        check_number("beta", beta)
        if not 0.0 <= beta < 0.5:
            raise ValueError(f"`beta` must be in the range [0, 0.5), but is {beta}.")
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
        self.beta = beta

    def _array_reducer(self, phase: str, together: int) -> Reducer[ArrayRecord]:
        return Columnwise(phase, partial(trimmed_mean, beta=self.beta))
