"""`FedAvgM` of the legacy API."""

from collections.abc import Mapping
from typing import Any

from flwr.app import ArrayRecord
from flwr.compat.clients.client_manager import ClientManager
from flwr.compat.clients.client_proxy import ClientProxy
from flwr.compat.strategy.fedavg import ConfigFn, EvaluateFn, FedAvg
from flwr.compat.strategy.updates import as_parameters, by_place
from flwr.compat.strategy.weights import arrays_of, moment_of
from flwr.compat.typing import FitIns, MetricsAggregationFn, NDArrays, Parameters
from flwr.serverapp.strategy.serversteps import Momentum, lent, take_step, taken


class FedAvgM(FedAvg):
    """Averages, and steps with momentum on the server.

    With ``g = w - mean``: ``v = beta v + g``, ``w -= lr v``. With the defaults it is FedAvg.

    Parameters
    ----------
    fraction_fit, fraction_evaluate, min_fit_clients, min_evaluate_clients, min_available_clients
        As for :class:`FedAvg`.
    evaluate_fn, on_fit_config_fn, on_evaluate_config_fn, accept_failures
        As for :class:`FedAvg`.
    fit_metrics_aggregation_fn, evaluate_metrics_aggregation_fn
        As for :class:`FedAvg`.
    initial_parameters : Parameters, optional
        The model to begin with, and then the current one.
    server_learning_rate : float, default 1.0
        ``lr``.
    server_momentum : float, default 0.0
        ``beta``, from 0 to below 1.

    Attributes
    ----------
    server_opt : bool
        Whether the server does more than to average.
    momentum_vector : list of np.ndarray or None
        ``v``; None before the first step.

    Notes
    -----
    Hsu, Qi and Brown, Measuring the Effects of Non-Identical Data Distribution for Federated Visual
    Classification, https://arxiv.org/abs/1909.06335
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
        server_learning_rate: float = 1.0,
        server_momentum: float = 0.0,
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
            accept_failures=accept_failures,
            initial_parameters=initial_parameters,
            fit_metrics_aggregation_fn=fit_metrics_aggregation_fn,
            evaluate_metrics_aggregation_fn=evaluate_metrics_aggregation_fn,
        )
        self.server_learning_rate = server_learning_rate
        self.server_momentum = server_momentum
        self._optimiser_rule()  # checks the settings
        self.server_opt = server_momentum != 0.0 or server_learning_rate != 1.0
        self.momentum_vector: NDArrays | None = None

    def initialize_parameters(self, client_manager: ClientManager) -> Parameters | None:
        """Return the initial parameters, and keep them."""
        return self.initial_parameters

    def configure_fit(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, FitIns]]:
        """Draw the clients that train; the model that they are sent is the current one."""
        if self.server_opt:
            self.initial_parameters = parameters
        return super().configure_fit(server_round, parameters, client_manager)

    def state_dict(self) -> dict[str, Any]:
        """Return what the rounds to come depend on."""
        vector = self.momentum_vector
        return {"velocity": None if vector is None else lent(moment_of(vector))}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` gave."""
        velocity = taken(state["velocity"])
        self.momentum_vector = None if velocity is None else list(velocity.values())

    def _optimiser_rule(self) -> Momentum:
        return Momentum(self.server_learning_rate, self.server_momentum)

    def _server_step(self, server_round: int, reduced: ArrayRecord) -> Parameters:
        if not self.server_opt:
            return as_parameters(reduced)
        if self.initial_parameters is None:
            raise AssertionError(
                "When using server-side optimization, model needs to be initialized."
            )
        rule, current = self._optimiser_rule(), by_place(self.initial_parameters)
        moments = [moment_of(self.momentum_vector) for _ in rule.starts]
        self.initial_parameters = as_parameters(take_step(rule, current, reduced, moments))
        for velocity in moments:
            self.momentum_vector = arrays_of(velocity, current)
        return self.initial_parameters
