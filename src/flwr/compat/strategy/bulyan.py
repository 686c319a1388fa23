"""`Bulyan` of the legacy API."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from flwr.app import ArrayRecord
from flwr.compat.strategy.aggregate import aggregate_krum, check_bulyan_rule
from flwr.compat.strategy.fedavg import ConfigFn, EvaluateFn, FedAvg, FitResults
from flwr.compat.strategy.selecting import for_bulyan
from flwr.compat.strategy.updates import updates_of
from flwr.compat.typing import MetricsAggregationFn, Parameters
from flwr.serverapp.strategy.columnwise import Columnwise, mean_around_median
from flwr.serverapp.strategy.reducers import Reducer
from flwr.serverapp.strategy.replies import Update
from flwr.serverapp.strategy.settings import check_count


class Bulyan(FedAvg):
    """Selects models by Krum, then averages the values around their median.

    With n results, f of which may be malicious, ``theta = n - 2 f`` models are selected one after
    the other. Each coordinate of the new model is the mean of the ``theta - 2 f`` of their values
    that lie closest to their median. Metrics are those of all clients.

    Parameters
    ----------
    fraction_fit, fraction_evaluate, min_fit_clients, min_evaluate_clients, min_available_clients
        As for :class:`FedAvg`.
    num_malicious_clients : int, default 0
        ``f``. With fewer than ``4 f + 3`` results, aggregating raises a ValueError.
    evaluate_fn, on_fit_config_fn, on_evaluate_config_fn, accept_failures
        As for :class:`FedAvg`.
    fit_metrics_aggregation_fn, evaluate_metrics_aggregation_fn
        As for :class:`FedAvg`.
    initial_parameters
        As for :class:`FedAvg`.
    first_aggregation_rule : Callable, default aggregate_krum
        How models are selected; there is no other rule.
    **aggregation_rule_kwargs
        Its arguments: ``to_keep``, which is 0.

    Notes
    -----
    El Mhamdi et al., The Hidden Vulnerability of Distributed Learning in Byzantium,
    https://arxiv.org/abs/1802.07927
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
        evaluate_fn: EvaluateFn | None = None,
        on_fit_config_fn: ConfigFn | None = None,
        on_evaluate_config_fn: ConfigFn | None = None,
        accept_failures: bool = True,
        initial_parameters: Parameters | None = None,
        fit_metrics_aggregation_fn: MetricsAggregationFn | None = None,
        evaluate_metrics_aggregation_fn: MetricsAggregationFn | None = None,
        first_aggregation_rule: Callable[..., Any] = aggregate_krum,
        **aggregation_rule_kwargs: Any,
    ) -> None:
        check_count("num_malicious_clients", num_malicious_clients, least=0)
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
        self.first_aggregation_rule = first_aggregation_rule
        self.aggregation_rule_kwargs = aggregation_rule_kwargs

    def _results_to_reduce(self, server_round: int, results: FitResults) -> Iterable[Update]:
        check_bulyan_rule(self.first_aggregation_rule, **self.aggregation_rule_kwargs)
        return for_bulyan(updates_of(results, weighted=False), self.num_malicious_clients)

    def _array_reducer(self, phase: str, together: int) -> Reducer[ArrayRecord]:
        return Columnwise(
            phase, partial(mean_around_median, leave_out=2 * self.num_malicious_clients)
        )
