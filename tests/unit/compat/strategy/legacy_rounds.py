"""Clients that are there in name only, and short ways to write their results."""

import json
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flwr.compat.clients.client_manager import SimpleClientManager
from flwr.compat.clients.client_proxy import ClientProxy
from flwr.compat.parameters import ndarrays_to_parameters, parameters_to_ndarrays
from flwr.compat.typing import Code, EvaluateRes, FitIns, FitRes, Parameters, Scalar, Status
from flwr.runtime.checkpoints import decode_state, encode_state
from flwr.server.strategy import Strategy

VECTORS: dict[str, dict[str, Any]] = {
    vector["id"]: vector
    for vector in json.loads((Path(__file__).parents[3] / "data" / "strategies.json").read_text())[
        "vectors"
    ]
}
OK = Status(Code.OK, "")

FitResults = list[tuple[ClientProxy, FitRes]]


class NamedClient(ClientProxy):
    """A client that nobody asks anything."""

    def get_properties(self, *_: Any, **__: Any) -> Any: ...
    def get_parameters(self, *_: Any, **__: Any) -> Any: ...
    def fit(self, *_: Any, **__: Any) -> Any: ...
    def evaluate(self, *_: Any, **__: Any) -> Any: ...
    def reconnect(self, *_: Any, **__: Any) -> Any: ...


def client(number: int) -> NamedClient:
    """A client on a node."""
    proxy = NamedClient(f"c{number}")
    proxy.node_id = number
    return proxy


def manager_of(count: int) -> SimpleClientManager:
    """A manager that knows so many clients, c1 and on."""
    manager = SimpleClientManager()
    for number in range(1, count + 1):
        manager.register(client(number))
    return manager


def model_of(*arrays: object, dtype: object = None) -> Parameters:
    """A model of arrays of the given values."""
    return ndarrays_to_parameters([np.asarray(array, dtype) for array in arrays])


def fit_res(model: Parameters | Sequence[object], examples: int = 1, **metrics: Scalar) -> FitRes:
    """What a client returns."""
    parameters = model if isinstance(model, Parameters) else model_of(*model)
    return FitRes(OK, parameters, examples, metrics)


def by_clients(results: Iterable[FitRes]) -> FitResults:
    """One result a client, c1 and on."""
    return [(client(number), result) for number, result in enumerate(results, start=1)]


def trained(*models: Sequence[object] | Parameters, examples: Sequence[int] = ()) -> FitResults:
    """Clients' models, by default of one example each."""
    counts = examples or [1] * len(models)
    return by_clients(fit_res(model, count) for model, count in zip(models, counts, strict=True))


def evaluated(*losses: float, examples: Sequence[int] = (), **metrics: Scalar) -> Any:
    """Clients' losses, by default of one example each."""
    counts = examples or [1] * len(losses)
    return [
        (client(number), EvaluateRes(OK, loss, count, dict(metrics)))
        for number, (loss, count) in enumerate(zip(losses, counts, strict=True), start=1)
    ]


def configured(
    strategy: Strategy, model: Parameters, count: int, server_round: int = 1
) -> list[tuple[ClientProxy, FitIns]]:
    """What a strategy asks of so many clients."""
    return strategy.configure_fit(
        server_round=server_round, parameters=model, client_manager=manager_of(count)
    )


def round_of(
    strategy: Strategy, model: Parameters, results: FitResults, server_round: int = 1
) -> tuple[Parameters | None, dict[str, Scalar]]:
    """Configure a round and aggregate it."""
    configured(strategy, model, max(len(results), 2), server_round)
    return strategy.aggregate_fit(server_round, results, [])


def arrays_of(parameters: Parameters | None) -> list[np.ndarray]:
    """A model's arrays; there must be one."""
    assert parameters is not None
    return parameters_to_ndarrays(parameters)


def values_of(parameters: Parameters | None) -> list[Any]:
    """A model's values as lists."""
    return [array.tolist() for array in arrays_of(parameters)]


def warnings_in(records: Iterable[logging.LogRecord]) -> list[str]:
    """The texts of warnings."""
    return [record.getMessage() for record in records if record.levelno == logging.WARNING]


def saved(state: dict[str, Any]) -> dict[str, Any]:
    """A state as a checkpoint brings it back."""
    return decode_state(encode_state(state))
