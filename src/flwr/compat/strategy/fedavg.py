"""`FedAvg` of the legacy API."""

import math
from collections.abc import Callable, Iterable, Sequence
from logging import WARNING
from typing import Any

from flwr.app import ArrayRecord
from flwr.compat.clients.client_manager import ClientManager
from flwr.compat.clients.client_proxy import ClientProxy
from flwr.compat.parameters import parameters_to_ndarrays
from flwr.compat.strategy.aggregate import weighted_loss_avg
from flwr.compat.strategy.outcomes import as_config, as_evaluated, as_metrics
from flwr.compat.strategy.strategy import Strategy
from flwr.compat.strategy.updates import as_parameters, client_name, record_of, updates_of
from flwr.compat.typing import (
    EvaluateIns,
    EvaluateRes,
    FitIns,
    FitRes,
    Metrics,
    MetricsAggregationFn,
    NDArrays,
    Parameters,
    Scalar,
)
from flwr.log import log
from flwr.serverapp.exception import AggregationError
from flwr.serverapp.strategy.finite import DROP, RAISE, NanPolicy, not_finite
from flwr.serverapp.strategy.reducers import TOGETHER, ArrayMean, Reducer
from flwr.serverapp.strategy.replies import Update

EvaluateFn = Callable[[int, NDArrays, dict[str, Scalar]], tuple[float, dict[str, Scalar]] | None]
ConfigFn = Callable[[int], dict[str, Scalar]]
FitResults = list[tuple[ClientProxy, FitRes]]
FitFailures = list[tuple[ClientProxy, FitRes] | BaseException]
EvaluateResults = list[tuple[ClientProxy, EvaluateRes]]
EvaluateFailures = list[tuple[ClientProxy, EvaluateRes] | BaseException]

WARNING_MIN_AVAILABLE_CLIENTS_TOO_LOW = (
    "Setting `min_available_clients` lower than `min_fit_clients` or `min_evaluate_clients` can "
    "cause the server to fail when there are too few clients connected to the server."
)


class FedAvg(Strategy):
    """Federated averaging: the new model is the mean of the clients', weighted by their examples.

    Parameters
    ----------
    fraction_fit, fraction_evaluate : float, default 1.0
        The share of the clients that is asked in a round. An evaluation share of 0 skips it.
    min_fit_clients, min_evaluate_clients : int, default 2
        The fewest clients that are asked, whatever the fraction.
    min_available_clients : int, default 2
        The fewest clients that must be there before a round's are drawn.
    evaluate_fn : Callable, optional
        ``(server_round, ndarrays, config) -> (loss, metrics) or None``, evaluates on the server.
    on_fit_config_fn, on_evaluate_config_fn : Callable, optional
        ``(server_round) -> dict``, the configuration that clients are sent; by default empty.
    accept_failures : bool, default True
        With False, a round with a failure changes nothing.
    initial_parameters : Parameters, optional
        The model to begin with; by default one client is asked for it.
    fit_metrics_aggregation_fn, evaluate_metrics_aggregation_fn : Callable, optional
        ``(list of (num_examples, metrics)) -> metrics``; by default metrics are left out.
    inplace : bool, default True
        Has no effect: replies are always summed in the memory of one model.

    Attributes
    ----------
    nan_policy : str, default "propagate"
        What becomes of a trained model that is not finite: "propagate" lets the rule see it,
        "drop_client" counts the result as a failure, "raise" raises an ``AggregationError``.

    Notes
    -----
    Integers and bools are averaged in float64, and rounded back to their dtype. A round in which no
    client has examples changes nothing.

    McMahan et al., Communication-Efficient Learning of Deep Networks from Decentralized Data,
    https://arxiv.org/abs/1602.05629
    """

    nan_policy = NanPolicy()

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
        inplace: bool = True,
    ) -> None:
        if max(min_fit_clients, min_evaluate_clients) > min_available_clients:
            log(WARNING, WARNING_MIN_AVAILABLE_CLIENTS_TOO_LOW)
        self.fraction_fit = fraction_fit
        self.fraction_evaluate = fraction_evaluate
        self.min_fit_clients = min_fit_clients
        self.min_evaluate_clients = min_evaluate_clients
        self.min_available_clients = min_available_clients
        self.evaluate_fn = evaluate_fn
        self.on_fit_config_fn = on_fit_config_fn
        self.on_evaluate_config_fn = on_evaluate_config_fn
        self.accept_failures = accept_failures
        self.initial_parameters = initial_parameters
        self.fit_metrics_aggregation_fn = fit_metrics_aggregation_fn
        self.evaluate_metrics_aggregation_fn = evaluate_metrics_aggregation_fn
        self.inplace = inplace

    def __repr__(self) -> str:
        return f"{type(self).__name__}(accept_failures={self.accept_failures})"

    def num_fit_clients(self, num_available_clients: int) -> tuple[int, int]:
        """Return how many clients train, and how many must be there before."""
        wanted = int(num_available_clients * self.fraction_fit)
        return max(wanted, self.min_fit_clients), self.min_available_clients

    def num_evaluation_clients(self, num_available_clients: int) -> tuple[int, int]:
        """Return how many clients evaluate, and how many must be there before."""
        wanted = int(num_available_clients * self.fraction_evaluate)
        return max(wanted, self.min_evaluate_clients), self.min_available_clients

    def initialize_parameters(self, client_manager: ClientManager) -> Parameters | None:
        """Return the initial parameters, and let go of them."""
        parameters, self.initial_parameters = self.initial_parameters, None
        return parameters

    def evaluate(
        self, server_round: int, parameters: Parameters
    ) -> tuple[float, dict[str, Scalar]] | None:
        """Evaluate a model with ``evaluate_fn``."""
        function = self.evaluate_fn
        if function is None:
            return None
        return as_evaluated(
            function(server_round, self._model_to_evaluate(parameters), {}), function
        )

    def configure_fit(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, FitIns]]:
        """Draw the clients that train; all are sent the same."""
        instruction = FitIns(parameters, _config(self.on_fit_config_fn, server_round))
        count, at_least = self.num_fit_clients(client_manager.num_available())
        clients = client_manager.sample(num_clients=count, min_num_clients=at_least)
        return [(client, instruction) for client in clients]

    def configure_evaluate(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, EvaluateIns]]:
        """Draw the clients that evaluate; all are sent the same."""
        if self.fraction_evaluate == 0.0:
            return []
        instruction = EvaluateIns(parameters, _config(self.on_evaluate_config_fn, server_round))
        count, at_least = self.num_evaluation_clients(client_manager.num_available())
        clients = client_manager.sample(num_clients=count, min_num_clients=at_least)
        return [(client, instruction) for client in clients]

    def aggregate_fit(
        self, server_round: int, results: FitResults, failures: FitFailures
    ) -> tuple[Parameters | None, dict[str, Scalar]]:
        """Return the weighted mean of the clients' models.

        Raises
        ------
        InconsistentMessageReplies
            If the clients' arrays differ in number or shape; it is a `ValueError`, too.
        AggregationError
            If an array is not finite, and ``nan_policy`` is "raise".
        """
        results, failures = self._finite(results, failures)
        if not self._suffices_for(results, failures, "fit"):
            return None, {}
        parameters = self._model_of_results(server_round, results)
        if parameters is None:
            return None, {}
        function = self.fit_metrics_aggregation_fn
        return parameters, self._aggregated_metrics("fit", function, server_round, results)

    def aggregate_evaluate(
        self, server_round: int, results: EvaluateResults, failures: EvaluateFailures
    ) -> tuple[float | None, dict[str, Scalar]]:
        """Return the weighted mean of the clients' losses."""
        if not self._suffices_for(results, failures, "evaluate"):
            return None, {}
        loss = self._mean_loss(results)
        if loss is None:
            return None, {}
        function = self.evaluate_metrics_aggregation_fn
        return loss, self._aggregated_metrics("evaluate", function, server_round, results)

    def _finite(self, results: FitResults, failures: FitFailures) -> tuple[FitResults, FitFailures]:
        """Return results that count, and failures: as they are, unless ``nan_policy`` says so."""
        if self.nan_policy not in (DROP, RAISE):
            return results, failures
        kept, failed = [], list(failures)
        for place, (client, result) in enumerate(results):
            name = not_finite(record_of(result.parameters))
            if name is None:
                kept.append((client, result))
                continue
            text = f"aggregate_fit: array {name} of client {client_name(client, place)}"
            if self.nan_policy == RAISE:
                raise AggregationError(f"{text} is not finite.")
            log(WARNING, "%s is not finite: the client is left out", text)
            failed.append((client, result))
        return kept, failed

    def _suffices_for(self, results: Sequence[Any], failures: Sequence[Any], phase: str) -> bool:
        """Whether a round's results are aggregated at all."""
        return bool(results) and (self.accept_failures or not failures)

    def _model_of_results(self, server_round: int, results: FitResults) -> Parameters | None:
        """Make one model of the clients'; None keeps the current one."""
        reducer = self._array_reducer("aggregate_fit", TOGETHER)
        for update in self._results_to_reduce(server_round, results):
            reducer.add(update)
        reduced = reducer.finish()
        if reduced is None:
            log(WARNING, "aggregate_fit: no client trained on any examples; the model is kept")
            return None
        return self._server_step(server_round, reduced)

    def _results_to_reduce(self, server_round: int, results: FitResults) -> Iterable[Update]:
        """Say whose models are reduced, and how much they count."""
        return updates_of(results)

    def _array_reducer(self, phase: str, together: int) -> Reducer[ArrayRecord]:
        """Make what turns the clients' arrays into one model, which belongs to nobody else."""
        return ArrayMean(phase, together=together)

    def _server_step(self, server_round: int, reduced: ArrayRecord) -> Parameters:
        """Return the new model, given what the clients' were reduced to: here, just that."""
        return as_parameters(reduced)

    def _mean_loss(self, results: EvaluateResults) -> float | None:
        """Make one loss of the clients'."""
        losses = [(result.num_examples, result.loss) for _, result in results]
        if not any(examples for examples, _ in losses):
            log(WARNING, "aggregate_evaluate: no client evaluated on any examples")
            return None
        loss = weighted_loss_avg(losses)
        if not math.isfinite(loss):
            log(
                WARNING,
                "aggregate_evaluate: the loss is not finite, because of client %s",
                ", ".join(
                    client_name(client, place)
                    for place, (client, result) in enumerate(results)
                    if not math.isfinite(result.loss)
                ),
            )
        return loss

    def _aggregated_metrics(
        self,
        phase: str,
        function: MetricsAggregationFn | None,
        server_round: int,
        results: FitResults | EvaluateResults,
    ) -> dict[str, Scalar]:
        if function is None:
            if server_round == 1:
                log(WARNING, "No %s_metrics_aggregation_fn provided", phase)
            return {}
        pairs: list[tuple[int, Metrics]] = [
            (result.num_examples, result.metrics) for _, result in results
        ]
        return as_metrics(function(pairs), function)

    def _model_to_evaluate(self, parameters: Parameters) -> NDArrays:
        """Return a model as ``evaluate_fn`` is given it."""
        return parameters_to_ndarrays(parameters)


def _config(function: ConfigFn | None, server_round: int) -> dict[str, Scalar]:
    return {} if function is None else as_config(function(server_round), function)
