"""`DefaultWorkflow`: the legacy loop with its two halves replaceable."""

import time
from collections.abc import Callable
from logging import INFO
from typing import Any, cast

from flwr.app import ArrayRecord, ConfigRecord, Context
from flwr.compat import bridge
from flwr.compat.clients.grid_clients import Membership
from flwr.compat.server.legacy_context import LegacyContext
from flwr.compat.server.server import Server
from flwr.compat.server.telling import NOTHING, GridTeller, Reached
from flwr.compat.strategy.strategy import Strategy
from flwr.compat.typing import Parameters
from flwr.log import log
from flwr.serverapp.grid import Grid

Workflow = Callable[[Grid, Context], None]

MAIN_CONFIGS_RECORD = "config"
MAIN_PARAMS_RECORD = "parameters"


class Key:
    """Keys of the record of settings; not to be instantiated."""

    CURRENT_ROUND = "current_round"
    START_TIME = "start_time"

    def __new__(cls) -> "Key":
        """Refuse."""
        raise TypeError(f"{cls.__name__} cannot be instantiated.")


class _Model:
    """A context's model and strategy, as those of a server."""

    def __init__(self, context: LegacyContext) -> None:
        self._context = context
        self.strategy: Strategy = context.strategy

    @property
    def parameters(self) -> Parameters:
        """The current model."""
        record = self._context.state.get(MAIN_PARAMS_RECORD)
        if isinstance(record, ArrayRecord):
            return bridge.arrayrecord_to_parameters(record, keep_input=True)
        return Parameters([], "numpy.ndarray")

    @parameters.setter
    def parameters(self, parameters: Parameters) -> None:
        # a grid that has restored the state has brought it as it was, names of arrays included
        self._context.state.setdefault(MAIN_PARAMS_RECORD, bridge.record_of(parameters))


class DefaultWorkflow:
    """Runs the rounds of a legacy strategy; how clients train and evaluate can be replaced.

    Parameters
    ----------
    fit_workflow, evaluate_workflow : Callable[[Grid, Context], None], optional
        Each half of a round. The model is ``context.state["parameters"]``, the round's number
        ``context.state["config"]["current_round"]``.
    """

    def __init__(
        self,
        fit_workflow: Workflow | None = None,
        evaluate_workflow: Workflow | None = None,
    ) -> None:
        self.fit_workflow = default_fit_workflow if fit_workflow is None else fit_workflow
        self.evaluate_workflow = (
            default_evaluate_workflow if evaluate_workflow is None else evaluate_workflow
        )

    def __call__(self, grid: Grid, context: Context) -> None:
        """Run the rounds.

        Parameters
        ----------
        grid : Grid
            The way to the nodes.
        context : LegacyContext
            Strategy, configuration, client manager, and the history that is filled.

        Raises
        ------
        TypeError
            If it is no `LegacyContext`.
        """
        legacy = _legacy(context)
        config = legacy.config
        teller, model = GridTeller(grid), _Model(legacy)
        with (
            Membership(grid, legacy.client_manager),
            teller.rounds(model, legacy.history) as reached,
        ):
            if reached == NOTHING:
                log(INFO, "[INIT]")
                default_init_params_workflow(grid, legacy)
                teller.save(model, legacy.history, Reached(0))
            started = time.monotonic()
            settings = ConfigRecord({Key.START_TIME: started})
            legacy.state[MAIN_CONFIGS_RECORD] = settings
            for current_round in range(max(reached.finished, 0) + 1, config.num_rounds + 1):
                log(INFO, "")
                log(INFO, "[ROUND %s]", current_round)
                teller.round_started(current_round, config.num_rounds)
                settings[Key.CURRENT_ROUND] = current_round
                if current_round > reached.trained:
                    self.fit_workflow(grid, legacy)
                    teller.save(model, legacy.history, Reached(current_round - 1, current_round))
                default_centralized_evaluation_workflow(grid, legacy)
                self.evaluate_workflow(grid, legacy)
                teller.round_finished(current_round, config.num_rounds)
                teller.save(model, legacy.history, Reached(current_round, current_round))
            log(INFO, "")
            log(INFO, "[SUMMARY]")
            seconds = time.monotonic() - started
            log(INFO, "Run finished %s round(s) in %.2fs", config.num_rounds, seconds)
            for place, line in enumerate(str(legacy.history).splitlines()):
                log(INFO, "\t%s" if place else "%s", line)
            log(INFO, "")


def default_init_params_workflow(grid: Grid, context: Context) -> None:
    """Get the initial model, and evaluate it on the server."""
    legacy = _legacy(context)
    server = _server(grid, legacy)
    legacy.state[MAIN_PARAMS_RECORD] = bridge.record_of(server._begin_model())
    server._evaluate_initial(legacy.history)


def default_fit_workflow(grid: Grid, context: Context) -> None:
    """Let clients train, and make one model of theirs."""
    legacy = _legacy(context)
    server, server_round = _server(grid, legacy), _round(legacy)
    server._train_round(server_round, legacy.config.round_timeout, legacy.history)
    legacy.state[MAIN_PARAMS_RECORD] = bridge.record_of(server.parameters)


def default_centralized_evaluation_workflow(grid: Grid, context: Context) -> None:
    """Evaluate the model on the server."""
    legacy = _legacy(context)
    settings = cast("ConfigRecord", legacy.state[MAIN_CONFIGS_RECORD])
    started = cast("float", settings[Key.START_TIME])
    _server(grid, legacy)._evaluate_on_server(_round(legacy), legacy.history, started)


def default_evaluate_workflow(grid: Grid, context: Context) -> None:
    """Let clients evaluate the model."""
    legacy = _legacy(context)
    timeout = legacy.config.round_timeout
    _server(grid, legacy)._evaluate_on_clients(_round(legacy), timeout, legacy.history)


def _legacy(context: Any) -> LegacyContext:
    if not isinstance(context, LegacyContext):
        raise TypeError(f"Expect a LegacyContext, but get {type(context).__name__}.")
    return context


def _round(context: LegacyContext) -> int:
    return int(cast("ConfigRecord", context.state[MAIN_CONFIGS_RECORD])[Key.CURRENT_ROUND])  # type: ignore[arg-type]  # it is set to one above


def _server(grid: Grid, context: LegacyContext) -> Server:
    """Return the loop's steps over a context, with its model as the current one."""
    server = Server(client_manager=context.client_manager, strategy=context.strategy)
    server.teller = GridTeller(grid)
    server.parameters = _Model(context).parameters
    return server
