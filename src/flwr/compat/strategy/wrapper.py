"""A strategy around another one, which does all that is not said otherwise."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from flwr.compat.clients.client_manager import ClientManager
from flwr.compat.clients.client_proxy import ClientProxy
from flwr.compat.strategy.fedavg import EvaluateFailures, EvaluateResults
from flwr.compat.strategy.strategy import Strategy
from flwr.compat.typing import EvaluateIns, FitIns, FitRes, Parameters, Scalar


class Wrapper(Strategy):
    """A strategy around another one.

    Parameters
    ----------
    strategy : Strategy
        The other one.
    """

    def __init__(self, strategy: Strategy) -> None:
        self.strategy = strategy

    def initialize_parameters(self, client_manager: ClientManager) -> Parameters | None:
        """Return the other strategy's initial model."""
        return self.strategy.initialize_parameters(client_manager)

    def configure_evaluate(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, EvaluateIns]]:
        """Let the other strategy say who evaluates."""
        return self.strategy.configure_evaluate(server_round, parameters, client_manager)

    def aggregate_evaluate(
        self, server_round: int, results: EvaluateResults, failures: EvaluateFailures
    ) -> tuple[float | None, dict[str, Scalar]]:
        """Let the other strategy aggregate what clients measured."""
        return self.strategy.aggregate_evaluate(server_round, results, failures)

    def evaluate(
        self, server_round: int, parameters: Parameters
    ) -> tuple[float, dict[str, Scalar]] | None:
        """Let the other strategy evaluate a model."""
        return self.strategy.evaluate(server_round, parameters)

    def state_dict(self) -> dict[str, Any]:
        """Return what the rounds to come depend on."""
        inner = getattr(self.strategy, "state_dict", None)
        return {"strategy": None if inner is None else inner()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` gave."""
        if state["strategy"] is not None:
            self.strategy.load_state_dict(state["strategy"])  # type: ignore[attr-defined]  # it gave it


def with_config(
    instructions: list[tuple[ClientProxy, FitIns]], settings: Mapping[str, Scalar]
) -> list[tuple[ClientProxy, FitIns]]:
    """Return instructions with settings in their configurations.

    Clients that share an instruction go on sharing one; those that were given stay as they are.
    """
    changed: dict[int, FitIns] = {}
    for _, ins in instructions:
        if id(ins) not in changed:
            changed[id(ins)] = replace(ins, config={**ins.config, **settings})
    return [(client, changed[id(ins)]) for client, ins in instructions]


def without_metric(result: FitRes, name: str) -> FitRes:
    """Return a result without a metric; the one that was given stays as it is."""
    if name not in result.metrics:
        return result
    metrics = {other: value for other, value in result.metrics.items() if other != name}
    return replace(result, metrics=metrics)
