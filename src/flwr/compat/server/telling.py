"""What a legacy run tells its grid: events of its rounds, and checkpoints to go on from."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from logging import INFO, WARNING
from numbers import Integral, Real
from typing import Any, NamedTuple, Protocol

from flwr.app.events import (
    Aggregated,
    Event,
    NodeMetrics,
    Phase,
    RoundFinished,
    RoundStarted,
    ServerEvaluated,
)
from flwr.compat import bridge
from flwr.compat.clients.client_manager import ClientManager
from flwr.compat.clients.client_proxy import ClientProxy
from flwr.compat.clients.grid_clients import lets_clients_go
from flwr.compat.differential_privacy import KEY_NORM_BIT
from flwr.compat.server.history import History
from flwr.compat.strategy.dpfedavg_adaptive import KEY_NORM_BIT as KEY_DPFEDAVG_NORM_BIT
from flwr.compat.strategy.strategy import Strategy
from flwr.compat.typing import EvaluateRes, FitRes, Parameters, Scalar
from flwr.log import log
from flwr.serverapp.grid import Grid, SavesCheckpoints

Results = list[tuple[ClientProxy, FitRes]] | list[tuple[ClientProxy, EvaluateRes]]
_SERIES = (
    "losses_distributed", "losses_centralized", "metrics_distributed_fit", "metrics_distributed",
    "metrics_centralized",
)  # fmt: skip


_HIDDEN = frozenset({KEY_NORM_BIT, KEY_DPFEDAVG_NORM_BIT})


class Reached(NamedTuple):
    """How far the rounds are.

    Attributes
    ----------
    finished : int
        The last round that is over.
    trained : int
        The last round whose training is.
    """

    finished: int
    trained: int = 0


NOTHING = Reached(-1)  # there is no model yet


class HasModel(Protocol):
    """A server: its current model, and its strategy."""

    parameters: Parameters
    strategy: Strategy


class Teller:
    """Tells nobody: for a server with clients of its own."""

    def round_started(self, server_round: int, of: int) -> None:
        """Tell that a round begins."""

    def aggregated(
        self,
        server_round: int,
        phase: Phase,
        results: Results,
        failures: list[Any],
        metrics: Mapping[str, Scalar],
    ) -> None:
        """Tell what the results of a phase became."""

    def server_evaluated(
        self, server_round: int, loss: float, metrics: Mapping[str, Scalar]
    ) -> None:
        """Tell what the server measured."""

    def round_finished(self, server_round: int, of: int) -> None:
        """Tell that a round is over."""

    def keeps_clients(self, client_manager: ClientManager) -> bool:
        """Whether clients stay connected when the run is over."""
        return False

    @contextmanager
    def rounds(self, server: HasModel, history: History) -> Iterator[Reached]:
        """Surround the rounds; give how far they were."""
        yield NOTHING

    def save(self, server: HasModel, history: History, reached: Reached) -> None:
        """Save a checkpoint after a round, and before clients see a new model."""


class GridTeller(Teller):
    """Tells a grid, as far as it listens and saves.

    Parameters
    ----------
    grid : Grid
        The way to the nodes.
    """

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._emit: Callable[[Event], None] | None = getattr(grid, "emit", None)
        self._saves = grid if isinstance(grid, SavesCheckpoints) else None
        self._began = time.monotonic()

    def round_started(self, server_round: int, of: int) -> None:
        """Tell that a round begins."""
        self._began = time.monotonic()
        if self._emit is not None:
            self._emit(RoundStarted(server_round, of))

    def aggregated(
        self,
        server_round: int,
        phase: Phase,
        results: Results,
        failures: list[Any],
        metrics: Mapping[str, Scalar],
    ) -> None:
        """Tell what the results of a phase became, and what each node said.

        Whether a client's update was clipped is not told: it is for the sum over all clients alone.
        """
        if self._emit is None:
            return
        nodes = [
            NodeMetrics(client.node_id, _numbers(_of_result(result)))
            for client, result in results
            if hasattr(client, "node_id")
        ]
        count = len(results)
        event = Aggregated(server_round, phase, count, len(failures), _numbers(metrics), nodes)
        self._emit(event)

    def server_evaluated(
        self, server_round: int, loss: float, metrics: Mapping[str, Scalar]
    ) -> None:
        """Tell what the server measured."""
        if self._emit is not None:
            self._emit(ServerEvaluated(server_round, _numbers({"loss": loss, **metrics})))

    def round_finished(self, server_round: int, of: int) -> None:
        """Tell that a round is over."""
        if self._emit is not None:
            self._emit(RoundFinished(server_round, of, time.monotonic() - self._began))

    def keeps_clients(self, client_manager: ClientManager) -> bool:
        """Whether clients stay connected when the run is over: nodes do."""
        return not lets_clients_go(self._grid)

    @contextmanager
    def rounds(self, server: HasModel, history: History) -> Iterator[Reached]:
        """Surround the rounds; give how far they were."""
        saves = self._saves
        if saves is None:
            yield NOTHING
            return
        state = saves.open_scope()
        try:
            yield NOTHING if state is None else _taken_up(state, server, history)
        finally:
            saves.close_scope()

    def save(self, server: HasModel, history: History, reached: Reached) -> None:
        """Save a checkpoint: model, history and what the strategy keeps.

        The aggregation may have drawn noise, so a new model is saved before clients see it: they
        must not be sent two models of one round.
        """
        if self._saves is None:
            return
        state_dict = getattr(server.strategy, "state_dict", None)
        if not hasattr(server.strategy, "load_state_dict"):
            state_dict = None  # an app's own method of that name, for something else
        state = {
            "finished": reached.finished,
            "trained": reached.trained,
            "parameters": bridge.record_of(server.parameters),
            "tensor_type": server.parameters.tensor_type,
            "history": {name: getattr(history, name) for name in _SERIES},
            "strategy": None if state_dict is None else state_dict(),
        }
        try:
            self._saves.checkpoint(state)
        except TypeError as error:  # the app's own values may be of any type
            log(WARNING, "No checkpoint in round %d, nor in later ones: %s", reached.trained, error)
            self._saves = None


def _taken_up(state: Mapping[str, Any], server: HasModel, history: History) -> Reached:
    """Go on from a checkpoint; return how far the rounds were."""
    for name in _SERIES:
        setattr(history, name, state["history"][name])
    parameters = bridge.arrayrecord_to_parameters(state["parameters"], keep_input=True)
    parameters.tensor_type = state["tensor_type"]
    server.parameters = parameters
    if state["strategy"] is not None:
        server.strategy.load_state_dict(state["strategy"])  # type: ignore[attr-defined]  # it has the other half
    reached = Reached(state["finished"], state["trained"])
    word = "training of round" if reached.trained > reached.finished else "round"
    log(INFO, "Going on after %s %s", word, reached.trained)
    return reached


def _of_result(result: FitRes | EvaluateRes) -> dict[str, Scalar]:
    if isinstance(result, FitRes):
        return result.metrics
    return {"loss": result.loss, **result.metrics}


def _numbers(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return what can be drawn and compared, as Python's own numbers."""
    return {
        name: int(value) if isinstance(value, Integral) else float(value)
        for name, value in metrics.items()
        if type(value) is not bool and isinstance(value, Real) and name not in _HIDDEN
    }
