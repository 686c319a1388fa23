"""Adaptive federated optimisation of the legacy API: what FedAdagrad, FedAdam and FedYogi share."""

from collections.abc import Mapping
from typing import Any

from flwr.app import ArrayRecord
from flwr.compat.clients.client_manager import ClientManager
from flwr.compat.clients.client_proxy import ClientProxy
from flwr.compat.strategy.fedavg import ConfigFn, EvaluateFn, FedAvg
from flwr.compat.strategy.updates import as_parameters
from flwr.compat.strategy.weights import Weights, arrays_of, held_by_place, moment_of
from flwr.compat.typing import FitIns, MetricsAggregationFn, NDArrays, Parameters
from flwr.serverapp.strategy.serversteps import Adaptive, lent, no_model, take_step, taken


class FedOpt(FedAvg):
    """The frame of adaptive server optimisers; by itself it averages as FedAvg.

    From ``D``, the mean less the current model, subclasses update the moments ``m_t`` and ``v_t``
    and step: ``w += eta m_t / (sqrt(v_t) + tau)``.

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
    beta_1, beta_2 : float, default 0.0
        How slowly ``m_t`` and ``v_t`` forget; from 0 to below 1.
    tau : float, default 1e-9
        How little the step adapts: added to ``sqrt(v_t)``.
    v_init : float, default 0.0
        What ``v_t`` starts from; the paper wants ``tau**2`` or more.

    Attributes
    ----------
    current_weights : list of np.ndarray
        The current model: the initial one, that of the last `configure_fit`, or what was made of
        it.
    m_t, v_t : list of np.ndarray or None
        The moments; zeros for arrays that hold no floats.

    Notes
    -----
    Reddi et al., Adaptive Federated Optimization, https://arxiv.org/abs/2003.00295
    """

    current_weights = Weights()

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
        beta_1: float = 0.0,
        beta_2: float = 0.0,
        tau: float = 1e-9,
        v_init: float = 0.0,
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
        self.current_weights = initial_parameters
        self.eta = eta
        self.eta_l = eta_l
        self.tau = tau
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.v_init = v_init
        self.m_t: NDArrays | None = None
        self.v_t: NDArrays | None = None
        self._optimiser_rule(1)  # checks the settings

    def configure_fit(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, FitIns]]:
        """Draw the clients that train; the model that they are sent is the current one."""
        self.current_weights = parameters
        return super().configure_fit(server_round, parameters, client_manager)

    def state_dict(self) -> dict[str, Any]:
        """Return what the rounds to come depend on."""
        return {name: lent(moment_of(getattr(self, name))) for name in ("m_t", "v_t")}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` gave."""
        for name in ("m_t", "v_t"):
            setattr(self, name, list((taken(state[name]) or {}).values()) or None)

    def _optimiser_rule(self, server_round: int) -> Adaptive | None:
        """Return how the server steps in a round; without a rule it takes the mean."""
        Adaptive(self.eta, self.tau, self.beta_1, self.beta_2, self.v_init)
        return None

    def _server_step(self, server_round: int, reduced: ArrayRecord) -> Parameters:
        rule = self._optimiser_rule(server_round)
        if rule is None:
            return as_parameters(reduced)
        current = held_by_place(self, "current_weights")
        if current is None:
            raise no_model(type(self).__name__)
        moments = moment_of(self.m_t), moment_of(self.v_t)
        parameters = as_parameters(take_step(rule, current, reduced, moments))
        self.m_t, self.v_t = (arrays_of(moment, current) for moment in moments)
        self.current_weights = parameters
        return parameters
