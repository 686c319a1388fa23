"""`Server`: the loop of a legacy run."""

import io
import time
from logging import INFO, WARNING

from flwr.compat.clients.client_manager import ClientManager, SimpleClientManager
from flwr.compat.server.config import ServerConfig
from flwr.compat.server.exchange import (
    EvaluateResultsAndFailures,
    FitResultsAndFailures,
    ReconnectResultsAndFailures,
    evaluate_client,
    evaluate_clients,
    fit_client,
    fit_clients,
    reconnect_client,
    reconnect_clients,
)
from flwr.compat.server.history import History
from flwr.compat.server.returned import (
    checked_evaluate,
    checked_evaluation,
    checked_fit,
    checked_initial,
    checked_instructions,
    instructions_of,
)
from flwr.compat.server.telling import NOTHING, Reached, Teller
from flwr.compat.strategy.fedavg import FedAvg
from flwr.compat.strategy.strategy import Strategy
from flwr.compat.typing import (
    Code,
    EvaluateIns,
    FitIns,
    GetParametersIns,
    Parameters,
    ReconnectIns,
    Scalar,
)
from flwr.log import log

FitRound = tuple[Parameters | None, dict[str, Scalar], FitResultsAndFailures]
EvaluateRound = tuple[float | None, dict[str, Scalar], EvaluateResultsAndFailures]

__all__ = [
    "EvaluateResultsAndFailures", "FitResultsAndFailures", "ReconnectResultsAndFailures", "Server",
    "evaluate_client", "evaluate_clients", "fit_client", "fit_clients", "init_defaults",
    "reconnect_client", "reconnect_clients", "run_fl",
]  # fmt: skip


class Server:
    """Runs the rounds of a legacy strategy.

    Parameters
    ----------
    client_manager : ClientManager
        Knows the clients.
    strategy : Strategy, optional
        By default `FedAvg`.

    Attributes
    ----------
    parameters : Parameters
        The current model.
    strategy : Strategy
        The strategy.
    max_workers : int or None
        The most threads that talk to clients, where threads are used.
    """

    teller = Teller()  # tells nobody

    def __init__(self, *, client_manager: ClientManager, strategy: Strategy | None = None) -> None:
        self._client_manager = client_manager
        self.parameters = Parameters([], "numpy.ndarray")
        self.strategy = FedAvg() if strategy is None else strategy
        self.max_workers: int | None = None

    def set_max_workers(self, max_workers: int | None) -> None:
        """Limit the threads that talk to clients."""
        self.max_workers = max_workers

    def set_strategy(self, strategy: Strategy) -> None:
        """Use another strategy."""
        self.strategy = strategy

    def client_manager(self) -> ClientManager:
        """Return the client manager."""
        return self._client_manager

    def fit(self, num_rounds: int, timeout: float | None) -> tuple[History, float]:
        """Run the rounds.

        Parameters
        ----------
        num_rounds : int
            How many.
        timeout : float, optional
            Seconds to wait for the results of a phase; None waits as long as it takes.

        Returns
        -------
        tuple[History, float]
            What was measured, and the seconds it took.
        """
        history = History()
        teller = self.teller
        with teller.rounds(self, history) as reached:
            if reached == NOTHING:
                log(INFO, "[INIT]")
                self._begin_model(timeout)
                self._evaluate_initial(history)
                teller.save(self, history, Reached(0))

            started = time.monotonic()
            for server_round in range(max(reached.finished, 0) + 1, num_rounds + 1):
                log(INFO, "")
                log(INFO, "[ROUND %s]", server_round)
                teller.round_started(server_round, num_rounds)
                if server_round > reached.trained:
                    self._train_round(server_round, timeout, history)
                    teller.save(self, history, Reached(server_round - 1, server_round))
                self._evaluate_on_server(server_round, history, started)
                self._evaluate_on_clients(server_round, timeout, history)
                teller.round_finished(server_round, num_rounds)
                teller.save(self, history, Reached(server_round, server_round))
        return history, time.monotonic() - started

    def _begin_model(self, timeout: float | None = None) -> Parameters:
        """Get the initial model; it is the current one from now on."""
        self.parameters = self._get_initial_parameters(server_round=0, timeout=timeout)
        return self.parameters

    def _evaluate_initial(self, history: History) -> None:
        """Evaluate the initial model on the server."""
        log(INFO, "Starting evaluation of initial global parameters")
        result = self._evaluate(0)
        if result is None:
            log(INFO, "Evaluation returned no results (`None`)")
            return
        loss, metrics = result
        log(INFO, "initial parameters (loss, other metrics): %s, %s", loss, metrics)
        history.add_loss_centralized(server_round=0, loss=loss)
        history.add_metrics_centralized(server_round=0, metrics=metrics)
        self.teller.server_evaluated(0, loss, metrics)

    def _train_round(self, server_round: int, timeout: float | None, history: History) -> None:
        """Train for one round; the result is the current model, its metrics join the history."""
        result = self.fit_round(server_round=server_round, timeout=timeout)
        if result is None:
            return
        parameters, metrics, _ = result
        if parameters:
            self.parameters = parameters
        history.add_metrics_distributed_fit(server_round=server_round, metrics=metrics)

    def _evaluate_on_server(self, server_round: int, history: History, started: float) -> None:
        """Evaluate the current model on the server, as far as the strategy does so."""
        result = self._evaluate(server_round)
        if result is None:
            return
        loss, metrics = result
        seconds = time.monotonic() - started
        log(INFO, "fit progress: (%s, %s, %s, %s)", server_round, loss, metrics, seconds)
        history.add_loss_centralized(server_round=server_round, loss=loss)
        history.add_metrics_centralized(server_round=server_round, metrics=metrics)
        self.teller.server_evaluated(server_round, loss, metrics)

    def _evaluate_on_clients(
        self, server_round: int, timeout: float | None, history: History
    ) -> None:
        """Evaluate the current model on clients; what they measured joins the history."""
        result = self.evaluate_round(server_round=server_round, timeout=timeout)
        if result is None:
            return
        loss, metrics, _ = result
        if loss is not None:
            history.add_loss_distributed(server_round=server_round, loss=loss)
            history.add_metrics_distributed(server_round=server_round, metrics=metrics)

    def fit_round(self, server_round: int, timeout: float | None) -> FitRound | None:
        """Train for one round.

        Parameters
        ----------
        server_round : int
            Which round.
        timeout : float, optional
            Seconds to wait for results.

        Returns
        -------
        tuple or None
            The new model (None keeps the current one), metrics, and results with failures. None
            if no client was chosen.
        """
        strategy = self.strategy
        configured = strategy.configure_fit(
            server_round=server_round,
            parameters=self.parameters,
            client_manager=self._client_manager,
        )
        instructions = checked_instructions(strategy, "configure_fit", configured, FitIns)
        if not instructions:
            log(INFO, "configure_fit: no clients selected, cancel")
            return None
        self._say_sampled("configure_fit", len(instructions))
        with instructions_of(strategy, "configure_fit"):
            results, failures = fit_clients(
                client_instructions=instructions,
                max_workers=self.max_workers,
                timeout=timeout,
                group_id=server_round,
            )
        _say_received("aggregate_fit", len(results), len(failures))
        aggregated = strategy.aggregate_fit(server_round, results, failures)
        parameters, metrics = checked_fit(strategy, aggregated)
        self.teller.aggregated(server_round, "train", results, failures, metrics)
        return parameters, metrics, (results, failures)

    def evaluate_round(self, server_round: int, timeout: float | None) -> EvaluateRound | None:
        """Evaluate the current model on clients; parameters and result as for `fit_round`.

        Returns
        -------
        tuple or None
            The loss (None if there is none), metrics, and results with failures. None if no
            client was chosen.
        """
        strategy = self.strategy
        configured = strategy.configure_evaluate(
            server_round=server_round,
            parameters=self.parameters,
            client_manager=self._client_manager,
        )
        instructions = checked_instructions(strategy, "configure_evaluate", configured, EvaluateIns)
        if not instructions:
            log(INFO, "configure_evaluate: no clients selected, skipping evaluation")
            return None
        self._say_sampled("configure_evaluate", len(instructions))
        with instructions_of(strategy, "configure_evaluate"):
            results, failures = evaluate_clients(
                instructions,
                max_workers=self.max_workers,
                timeout=timeout,
                group_id=server_round,
            )
        _say_received("aggregate_evaluate", len(results), len(failures))
        aggregated = strategy.aggregate_evaluate(server_round, results, failures)
        loss, metrics = checked_evaluate(strategy, aggregated)
        shown = metrics if loss is None else {"loss": loss, **metrics}
        self.teller.aggregated(server_round, "evaluate", results, failures, shown)
        return loss, metrics, (results, failures)

    def disconnect_all_clients(self, timeout: float | None) -> None:
        """Tell all clients to disconnect; who does not answer is forgotten."""
        if self.teller.keeps_clients(self._client_manager):
            return
        instruction = ReconnectIns(seconds=None)
        reconnect_clients(
            [(client, instruction) for client in self._client_manager.all().values()],
            max_workers=self.max_workers,
            timeout=timeout,
        )

    def _get_initial_parameters(self, server_round: int, timeout: float | None) -> Parameters:
        """Return the initial model: the strategy's, or that of one client."""
        given = self.strategy.initialize_parameters(client_manager=self._client_manager)
        parameters = checked_initial(self.strategy, given)
        if parameters is not None:
            log(INFO, "Using initial global parameters provided by strategy")
            return parameters
        log(INFO, "Requesting initial parameters from one random client")
        client = self._client_manager.sample(1)[0]
        result = client.get_parameters(
            ins=GetParametersIns(config={}), timeout=timeout, group_id=server_round
        )
        if result.status.code == Code.OK:
            log(INFO, "Received initial parameters from one random client")
        else:
            log(
                WARNING,
                "Failed to receive initial parameters from the client. Empty initial parameters "
                "will be used.",
            )
        return result.parameters

    def _evaluate(self, server_round: int) -> tuple[float, dict[str, Scalar]] | None:
        measured = self.strategy.evaluate(server_round, parameters=self.parameters)
        return checked_evaluation(self.strategy, measured)

    def _say_sampled(self, what: str, count: int) -> None:
        available = self._client_manager.num_available()
        log(INFO, "%s: strategy sampled %s clients (out of %s)", what, count, available)


def init_defaults(
    server: Server | None,
    config: ServerConfig | None,
    strategy: Strategy | None,
    client_manager: ClientManager | None,
) -> tuple[Server, ServerConfig]:
    """Return the parts of a run with the defaults in place of those that are None.

    Raises
    ------
    TypeError
        If a part is a class and not an object of it.
    """
    for part in (server, config, strategy, client_manager):
        if isinstance(part, type):
            raise TypeError(f"{part.__name__} is a class: give an object, {part.__name__}(...).")
    if server is None:
        if client_manager is None:
            client_manager = SimpleClientManager()
        server = Server(client_manager=client_manager, strategy=strategy)
    elif strategy is not None:
        log(WARNING, "Both server and strategy were provided, ignoring strategy")
    return server, ServerConfig() if config is None else config


def run_fl(server: Server, config: ServerConfig) -> History:
    """Run the rounds, say what came out, and let the clients go."""
    history, seconds = server.fit(num_rounds=config.num_rounds, timeout=config.round_timeout)
    log(INFO, "")
    log(INFO, "[SUMMARY]")
    log(INFO, "Run finished %s round(s) in %.2fs", config.num_rounds, seconds)
    for line in io.StringIO(str(history)):
        log(INFO, "\t%s", line.strip("\n"))
    log(INFO, "")
    server.disconnect_all_clients(timeout=config.round_timeout)
    return history


def _say_received(what: str, results: int, failures: int) -> None:
    log(INFO, "%s: received %s results and %s failures", what, results, failures)
