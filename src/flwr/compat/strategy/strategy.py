"""`Strategy`: what a legacy run's server asks of its strategy."""

from abc import ABC, abstractmethod

from flwr.compat.clients.client_manager import ClientManager
from flwr.compat.clients.client_proxy import ClientProxy
from flwr.compat.typing import EvaluateIns, EvaluateRes, FitIns, FitRes, Parameters, Scalar


class Strategy(ABC):
    """Decides who trains what, and makes one model of the results.

    In all methods, `server_round` counts from 1, and 0 is the initial model's evaluation.
    `results` are (client, result) pairs, `failures` the results that are not OK and exceptions.
    """

    @abstractmethod
    def initialize_parameters(self, client_manager: ClientManager) -> Parameters | None:
        """Return the initial model; None asks one client for it."""

    @abstractmethod
    def configure_fit(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, FitIns]]:
        """Return who trains in this round, and with what instruction."""

    @abstractmethod
    def aggregate_fit(
        self,
        server_round: int,
        results: list[tuple[ClientProxy, FitRes]],
        failures: list[tuple[ClientProxy, FitRes] | BaseException],
    ) -> tuple[Parameters | None, dict[str, Scalar]]:
        """Return the next model and metrics; None keeps the current one."""

    @abstractmethod
    def configure_evaluate(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, EvaluateIns]]:
        """Return who evaluates in this round, and with what instruction."""

    @abstractmethod
    def aggregate_evaluate(
        self,
        server_round: int,
        results: list[tuple[ClientProxy, EvaluateRes]],
        failures: list[tuple[ClientProxy, EvaluateRes] | BaseException],
    ) -> tuple[float | None, dict[str, Scalar]]:
        """Return the loss over all results, and metrics."""

    @abstractmethod
    def evaluate(
        self, server_round: int, parameters: Parameters
    ) -> tuple[float, dict[str, Scalar]] | None:
        """Evaluate a model on the server; None if that is not done."""
