"""`FedAvg` of the legacy API."""

from collections.abc import Callable
from logging import WARNING

from flwr.app import ArrayRecord
from flwr.compat import bridge
from flwr.compat.clients.client_manager import ClientManager
from flwr.compat.clients.client_proxy import ClientProxy
from flwr.compat.parameters import parameters_to_ndarrays
from flwr.compat.strategy.strategy import Strategy
from flwr.compat.strategy.updates import updates_of
from flwr.compat.typing import (
    EvaluateIns,
    EvaluateRes,
    FitIns,
    FitRes,
    MetricsAggregationFn,
    NDArrays,
    Parameters,
    Scalar,
)
from flwr.log import log
from flwr.serverapp.strategy.reducers import TOGETHER, ArrayMean

EvaluateFn = Callable[[int, NDArrays, dict[str, Scalar]], tuple[float, dict[str, Scalar]] | None]
ConfigFn = Callable[[int], dict[str, Scalar]]

_MORE_THAN_AVAILABLE = (
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

    Notes
    -----
    McMahan et al., Communication-Efficient Learning of Deep Networks from Decentralized Data,
    https://arxiv.org/abs/1602.05629
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
        inplace: bool = True,
    ) -> None:
        if max(min_fit_clients, min_evaluate_clients) > min_available_clients:
            log(WARNING, _MORE_THAN_AVAILABLE)
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
        if self.evaluate_fn is None:
            return None
        result = self.evaluate_fn(server_round, parameters_to_ndarrays(parameters), {})
        if result is None:
            return None
        loss, metrics = result
        return loss, metrics

    def configure_fit(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, FitIns]]:
        """Draw the clients that train; all are sent the same."""
        config = {} if self.on_fit_config_fn is None else self.on_fit_config_fn(server_round)
        instruction = FitIns(parameters, config)
        count, at_least = self.num_fit_clients(client_manager.num_available())
        clients = client_manager.sample(num_clients=count, min_num_clients=at_least)
        return [(client, instruction) for client in clients]

    def configure_evaluate(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, EvaluateIns]]:
        """Draw the clients that evaluate; all are sent the same."""
        if self.fraction_evaluate == 0.0:
            return []
        make_config = self.on_evaluate_config_fn
        config = {} if make_config is None else make_config(server_round)
        instruction = EvaluateIns(parameters, config)
        count, at_least = self.num_evaluation_clients(client_manager.num_available())
        clients = client_manager.sample(num_clients=count, min_num_clients=at_least)
        return [(client, instruction) for client in clients]

    def aggregate_fit(
        self,
        server_round: int,
        results: list[tuple[ClientProxy, FitRes]],
        failures: list[tuple[ClientProxy, FitRes] | BaseException],
    ) -> tuple[Parameters | None, dict[str, Scalar]]:
        """Return the weighted mean of the clients' models."""
        if not results or (failures and not self.accept_failures):
            return None, {}
        record = self._reduce(server_round, results)
        if record is None:
            log(WARNING, "aggregate_fit: no client trained on any examples; the model is kept")
            return None, {}
        parameters = bridge.arrayrecord_to_parameters(record, keep_input=True)
        return parameters, self._fit_metrics(server_round, results)

    def aggregate_evaluate(
        self,
        server_round: int,
        results: list[tuple[ClientProxy, EvaluateRes]],
        failures: list[tuple[ClientProxy, EvaluateRes] | BaseException],
    ) -> tuple[float | None, dict[str, Scalar]]:
        """Return the weighted mean of the clients' losses."""
        if not results or (failures and not self.accept_failures):
            return None, {}
        examples = sum(result.num_examples for _, result in results)
        if not examples:
            log(WARNING, "aggregate_evaluate: no client evaluated on any examples")
            return None, {}
        loss = sum(result.num_examples * result.loss for _, result in results) / examples
        aggregate = self.evaluate_metrics_aggregation_fn
        if aggregate is None:
            _warn_of_no_function("evaluate", server_round)
            return loss, {}
        return loss, aggregate([(result.num_examples, result.metrics) for _, result in results])

    def _reduce(
        self, server_round: int, results: list[tuple[ClientProxy, FitRes]]
    ) -> ArrayRecord | None:
        """Make one model of the clients'; None keeps the current one."""
        mean = ArrayMean("aggregate_fit", together=TOGETHER)
        for update in updates_of(results):
            mean.add(update)
        return mean.finish()

    def _fit_metrics(
        self, server_round: int, results: list[tuple[ClientProxy, FitRes]]
    ) -> dict[str, Scalar]:
        aggregate = self.fit_metrics_aggregation_fn
        if aggregate is None:
            _warn_of_no_function("fit", server_round)
            return {}
        return aggregate([(result.num_examples, result.metrics) for _, result in results])


def _warn_of_no_function(phase: str, server_round: int) -> None:
    if server_round == 1:
        log(WARNING, "No %s_metrics_aggregation_fn provided", phase)
