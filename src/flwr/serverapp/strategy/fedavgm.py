"""Federated averaging with momentum on the server."""

from collections.abc import Iterable, Mapping
from logging import INFO
from typing import Any

import numpy as np

from flwr.app import ArrayRecord, ConfigRecord, Message
from flwr.log import log
from flwr.serverapp.grid import Grid
from flwr.serverapp.strategy.fedavg import FedAvg
from flwr.serverapp.strategy.metrics import MetricsFunction
from flwr.serverapp.strategy.serversteps import Moment, Momentum, by_name, lent, take_step, taken


class FedAvgM(FedAvg):
    """Averages, and steps with momentum on the server [1]_, section 4.3.

    With ``g = w - mean``: ``v = beta v + g``, ``w -= lr v``. Use it where nodes hold different
    data, so that one round's mean points elsewhere than the next one's. With the defaults it is
    FedAvg.

    Parameters
    ----------
    fraction_train, fraction_evaluate, min_train_nodes, min_evaluate_nodes, min_available_nodes
        As for :class:`FedAvg`.
    weighted_by_key, arrayrecord_key, configrecord_key
        As for :class:`FedAvg`.
    train_metrics_aggr_fn, evaluate_metrics_aggr_fn
        As for :class:`FedAvg`.
    server_learning_rate : float, default 1.0
        ``lr``.
    server_momentum : float, default 0.0
        ``beta``, from 0 to below 1.

    Attributes
    ----------
    current_arrays : ArrayRecord or None
        The current model: that of the last `configure_train`, then what was made of it.
    momentum_vector : list[np.ndarray] or None
        ``v``, one array for each of ``current_arrays``; zeros for those that hold no floats.
    server_opt : bool
        Whether the server does more than to average.

    References
    ----------
    .. [1] Hsu, Qi and Brown, Measuring the Effects of Non-Identical Data Distribution for Federated
       Visual Classification, https://arxiv.org/abs/1909.06335
    """

    def __init__(
        self,
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
        server_learning_rate: float = 1.0,
        server_momentum: float = 0.0,
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
        self.server_learning_rate = server_learning_rate
        self.server_momentum = server_momentum
        self.current_arrays: ArrayRecord | None = None
        self._velocity: Moment | None = None
        self._rule()  # checks the settings

    @property
    def server_opt(self) -> bool:
        """Whether the server does more than to average."""
        return self.server_momentum != 0.0 or self.server_learning_rate != 1.0

    @property
    def momentum_vector(self) -> list[np.ndarray] | None:
        """The velocity, one array for each of the current ones; ``None`` before the first step."""
        velocity, arrays = self._velocity, self.current_arrays
        if velocity is None or arrays is None:
            return None
        return [
            velocity[name] if name in velocity else np.zeros(array.shape)
            for name, array in by_name(arrays, "FedAvgM").items()
        ]

    @momentum_vector.setter
    def momentum_vector(self, arrays: list[np.ndarray] | None) -> None:
        names = by_name(self.current_arrays, "FedAvgM") if arrays is not None else ()
        self._velocity = None if arrays is None else dict(zip(names, arrays, strict=True))

    def summary(self) -> None:
        """Log the optimiser's settings, then FedAvg's."""
        log(INFO, "\t├──> FedAvgM settings:")
        log(INFO, "\t│\t├── Server optimization: %s", "ON" if self.server_opt else "OFF")
        log(INFO, "\t│\t├── Server learning rate: %s", self.server_learning_rate)
        log(INFO, "\t│\t└── Server Momentum: %s", self.server_momentum)
        super().summary()

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Draw this round's nodes and send them the model, which is kept as the current one."""
        self.current_arrays = arrays
        return super().configure_train(server_round, arrays, config, grid)

    def state_dict(self) -> dict[str, Any]:
        """Return what the rounds to come depend on, the velocity among it."""
        return {**super().state_dict(), "velocity": lent(self._velocity)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` gave; see :meth:`Strategy.load_state_dict`."""
        super().load_state_dict(state)
        self._velocity = taken(state["velocity"])

    def _steps(self) -> bool:
        return self.server_opt

    def _begin_anew(self) -> None:
        self._velocity = None

    def _rule(self) -> Momentum:
        return Momentum(self.server_learning_rate, self.server_momentum)

    def _server_step(self, server_round: int, arrays: ArrayRecord) -> ArrayRecord:
        rule, current = self._rule(), by_name(self.current_arrays, type(self).__name__)
        if self.server_opt:
            moments = []
            if rule.starts:
                self._velocity = self._velocity or {}
                moments = [self._velocity]
            arrays = take_step(rule, current, arrays, moments)
        self.current_arrays = arrays
        return arrays
