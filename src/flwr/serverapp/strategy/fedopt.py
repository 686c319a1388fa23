"""Adaptive federated optimisation: what FedAdagrad, FedAdam and FedYogi share."""

from collections.abc import Iterable, Mapping
from logging import INFO
from typing import Any

import numpy as np

from flwr.app import ArrayRecord, ConfigRecord, Message
from flwr.log import log
from flwr.serverapp.grid import Grid
from flwr.serverapp.strategy.fedavg import FedAvg
from flwr.serverapp.strategy.metrics import MetricsFunction
from flwr.serverapp.strategy.serversteps import (
    Adaptive,
    Moment,
    by_name,
    lent,
    take_step,
    taken,
)


class FedOpt(FedAvg):
    """The frame of adaptive server optimisers [1]_, Algorithm 2; by itself it averages as FedAvg.

    In round ``t`` the replies' mean less the model that was sent is the pseudo-gradient ``D_t``,
    from which a subclass updates the moments ``m_t`` and ``v_t`` and makes the new model
    ``w + eta m_t / (sqrt(v_t) + tau)``.

    Parameters
    ----------
    fraction_train, fraction_evaluate, min_train_nodes, min_evaluate_nodes, min_available_nodes
        As for :class:`FedAvg`.
    weighted_by_key, arrayrecord_key, configrecord_key
        As for :class:`FedAvg`.
    train_metrics_aggr_fn, evaluate_metrics_aggr_fn
        As for :class:`FedAvg`.
    eta : float, default 0.1
        The server's learning rate.
    eta_l : float, default 0.1
        The clients' learning rate: stored and logged only.
    beta_1, beta_2 : float, default 0.0
        How slowly ``m_t`` and ``v_t`` forget; from 0 to below 1.
    tau : float, default 1e-3
        How little the step adapts: added to ``sqrt(v_t)``.
    v_init : float, default 0.0
        What ``v_t`` starts from; the paper wants ``tau**2`` or more.

    Attributes
    ----------
    current_arrays : dict[str, np.ndarray] or None
        The model that was sent out last, as `configure_train` was given it.
    m_t, v_t : dict[str, np.ndarray] or None
        The moments by array, those of arrays that hold floats.

    References
    ----------
    .. [1] Reddi et al., Adaptive Federated Optimization, https://arxiv.org/abs/2003.00295
    """

    def __init__(
        self,
        *,
        fraction_train: float = 1.0,
        fraction_evaluate: float = 1.0,
        min_train_nodes: int = 2,
        min_evaluate_nodes: int = 2,
        min_available_nodes: int = 2,
        weighted_by_key: str = "num-examples",
        arrayrecord_key: str = "arrays",
        configrecord_key: str = "config",
        train_metrics_aggr_fn: MetricsFunction | None = None,
        evaluate_metrics_aggr_fn: MetricsFunction | None = None,
        eta: float = 0.1,
        eta_l: float = 0.1,
        beta_1: float = 0.0,
        beta_2: float = 0.0,
        tau: float = 1e-3,
        v_init: float = 0.0,
    ) -> None:
        super().__init__(
            fraction_train=fraction_train,
            fraction_evaluate=fraction_evaluate,
            min_train_nodes=min_train_nodes,
            min_evaluate_nodes=min_evaluate_nodes,
            min_available_nodes=min_available_nodes,
            weighted_by_key=weighted_by_key,
            arrayrecord_key=arrayrecord_key,
            configrecord_key=configrecord_key,
            train_metrics_aggr_fn=train_metrics_aggr_fn,
            evaluate_metrics_aggr_fn=evaluate_metrics_aggr_fn,
        )
        self.eta = eta
        self.eta_l = eta_l
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.tau = tau
        self.v_init = v_init
        self.m_t: Moment | None = None
        self.v_t: Moment | None = None
        self._current: ArrayRecord | dict[str, np.ndarray] | None = None
        self._rule(1)  # checks the settings

    @property
    def current_arrays(self) -> dict[str, np.ndarray] | None:
        """The model that was sent out last, by array; copied when it is first asked for."""
        if isinstance(self._current, ArrayRecord):
            values = self._current.to_numpy_ndarrays()
            self._current = dict(zip(self._current, values, strict=True))
        return self._current

    @current_arrays.setter
    def current_arrays(self, arrays: dict[str, np.ndarray] | None) -> None:
        self._current = arrays

    def summary(self) -> None:
        """Log the optimiser's settings, then FedAvg's."""
        log(INFO, "\t├──> FedOpt settings:")
        log(INFO, "\t│\t├── eta (%g) | eta_l (%g)", self.eta, self.eta_l)
        log(INFO, "\t│\t├── beta_1 (%g) | beta_2 (%g)", self.beta_1, self.beta_2)
        log(INFO, "\t│\t└── tau (%g)", self.tau)
        super().summary()

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Draw this round's nodes and send them the model, which is kept as the current one."""
        self._current = arrays
        return super().configure_train(server_round, arrays, config, grid)

    def state_dict(self) -> dict[str, Any]:
        """Return what the rounds to come depend on, the moments among it."""
        return {**super().state_dict(), "m_t": lent(self.m_t), "v_t": lent(self.v_t)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` gave; see :meth:`Strategy.load_state_dict`."""
        super().load_state_dict(state)
        self.m_t, self.v_t = taken(state["m_t"]), taken(state["v_t"])

    def _steps(self) -> bool:
        return self._rule(1) is not None

    def _begin_anew(self) -> None:
        self.m_t = self.v_t = None

    def _rule(self, server_round: int) -> Adaptive | None:
        """Return how the server steps in a round; without a rule it takes the mean."""
        Adaptive(self.eta, self.tau, self.beta_1, self.beta_2, self.v_init)
        return None

    def _server_step(self, server_round: int, arrays: ArrayRecord) -> ArrayRecord:
        rule = self._rule(server_round)
        if rule is None:
            return arrays
        current = by_name(self._current, type(self).__name__)
        self.m_t, self.v_t = self.m_t or {}, self.v_t or {}
        return take_step(rule, current, arrays, (self.m_t, self.v_t))
