"""XGBoost in turns: one node a round."""

from collections.abc import Iterable, Mapping
from logging import INFO
from typing import Any, ClassVar, Self

from flwr.app import ArrayRecord, ConfigRecord, Message
from flwr.log import log
from flwr.serverapp.grid import Grid
from flwr.serverapp.strategy.fedavg import FedAvg
from flwr.serverapp.strategy.metrics import MetricsFunction
from flwr.serverapp.strategy.replies import Update
from flwr.serverapp.strategy.sampling import wait_for_nodes


class LastArrays:
    """The arrays that were added last, as they are."""

    kind: ClassVar = "streaming"

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Forget what was added; ready for a round."""
        self._arrays: ArrayRecord | None = None

    def add(self, update: Update) -> None:
        """Take in the arrays of one reply, in place of those before."""
        self._arrays = update.arrays

    def merge(self, other: Self) -> None:
        """Take in what another reducer was given, as if it came next; that one starts again."""
        self._arrays = other.finish() or self._arrays

    def finish(self) -> ArrayRecord | None:
        """Return the arrays and start again; ``None`` if nothing was added."""
        arrays = self._arrays
        self.start()
        return arrays


class FedXgbCyclic(FedAvg):
    """XGBoost in turns: one node a round boosts the model and hands on the whole of it.

    Nodes take turns in the order in which they were first seen: round ``r`` goes to entry
    ``(r - 1) mod n`` of the ``n`` that are connected, for training and for evaluation. Its model
    becomes the global one as it is. Use it when trees of different nodes should correct each
    other, and a pass over all nodes may take as many rounds as there are nodes.

    Parameters
    ----------
    fraction_train, fraction_evaluate : float, default 1.0
        1.0, or 0.0 to skip the phase.
    min_available_nodes : int, default 2
        The fewest nodes that must be connected; 2 at least.
    weighted_by_key : str, default "num-examples"
        The metric that replies must have, as for :class:`FedAvg`.
    arrayrecord_key, configrecord_key : str, default "arrays" and "config"
        The names of the model and of the configuration in the instructions.
    train_metrics_aggr_fn, evaluate_metrics_aggr_fn : optional
        As for :class:`FedAvg`.

    Attributes
    ----------
    registered_nodes : dict[int, int]
        The place of each node in the order, by id; empty while a grid keeps an order of its own.

    Raises
    ------
    ValueError
        If a fraction is neither 0.0 nor 1.0.
    """

    def __init__(
        self,
        fraction_train: float = 1.0,
        fraction_evaluate: float = 1.0,
        min_available_nodes: int = 2,
        weighted_by_key: str = "num-examples",
        arrayrecord_key: str = "arrays",
        configrecord_key: str = "config",
        train_metrics_aggr_fn: MetricsFunction | None = None,
        evaluate_metrics_aggr_fn: MetricsFunction | None = None,
    ) -> None:
        for name, fraction in (
            ("fraction_train", fraction_train),
            ("fraction_evaluate", fraction_evaluate),
        ):
            if fraction not in (0.0, 1.0):
                raise ValueError(
                    f"{name} can only be set to 1.0 or 0.0 for FedXgbCyclic, not {fraction!r}."
                )
        super().__init__(
            fraction_train=fraction_train,
            fraction_evaluate=fraction_evaluate,
            min_available_nodes=min_available_nodes,
            weighted_by_key=weighted_by_key,
            arrayrecord_key=arrayrecord_key,
            configrecord_key=configrecord_key,
            train_metrics_aggr_fn=train_metrics_aggr_fn,
            evaluate_metrics_aggr_fn=evaluate_metrics_aggr_fn,
        )
        self.registered_nodes: dict[int, int] = {}

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Send the model and the configuration to the node whose turn it is."""
        if self.fraction_train == 0.0:
            return []
        node_ids = self._turn("configure_train", server_round, self.min_train_nodes, grid)
        return self._messages("train", server_round, node_ids, arrays, config)

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Send the model and the configuration to the node whose turn it is."""
        if self.fraction_evaluate == 0.0:
            return []
        node_ids = self._turn("configure_evaluate", server_round, self.min_evaluate_nodes, grid)
        return self._messages("evaluate", server_round, node_ids, arrays, config)

    def state_dict(self) -> dict[str, Any]:
        """Return what the rounds to come depend on: the order of the nodes, too."""
        return {**super().state_dict(), "node_order": list(self.registered_nodes)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` gave."""
        super().load_state_dict(state)
        self.registered_nodes = {node: place for place, node in enumerate(state["node_order"])}

    def _array_reducer(self, phase: str, together: int) -> LastArrays:
        return LastArrays()

    def _turn(self, phase: str, server_round: int, min_nodes: int, grid: Grid) -> list[int]:
        nodes = wait_for_nodes(grid, max(self.min_available_nodes, min_nodes))
        place = (server_round - 1) % len(nodes)
        if isinstance(nodes, list):
            for node in nodes:
                self.registered_nodes.setdefault(node, len(self.registered_nodes))
            node_id = sorted(nodes, key=self.registered_nodes.__getitem__)[place]
        else:
            node_id = nodes.at(place)  # their order stays
        log(INFO, "%s: Sampled 1 nodes (out of %d)", phase, len(nodes))
        return [node_id]
