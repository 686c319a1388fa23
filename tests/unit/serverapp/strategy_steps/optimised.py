"""Rounds of the server's optimisers, fed by hand."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from fake_grid import FakeGrid, content, replies

from flwr.app import Array, ArrayRecord, ConfigRecord
from flwr.serverapp.strategy import FedAdagrad, FedAdam, FedAvg, FedAvgM, FedYogi

DATA = Path(__file__).parents[3] / "data" / "strategies.json"
VECTORS: dict[str, dict[str, Any]] = {
    vector["id"]: vector for vector in json.loads(DATA.read_text())["vectors"]
}
ADAPTIVE = [FedAdagrad, FedAdam, FedYogi]
MOMENTUM = {"server_learning_rate": 0.5, "server_momentum": 0.9}


def make(cls: type[FedAvg], **settings: Any) -> Any:
    """A strategy that steps."""
    return cls(**{**(MOMENTUM if issubclass(cls, FedAvgM) else {}), **settings})


def record(arrays: dict[str, np.ndarray] | list[Any], dtype: object = np.float64) -> ArrayRecord:
    """Arrays by name, or of the given values as a0, a1, ..."""
    if isinstance(arrays, list):
        arrays = {f"a{n}": np.array(a, np.dtype(dtype)) for n, a in enumerate(arrays)}
    return ArrayRecord({name: Array(array) for name, array in arrays.items()})


def configure(strategy: FedAvg, model: ArrayRecord, server_round: int = 1) -> None:
    """Send a model to nobody in particular."""
    list(strategy.configure_train(server_round, model, ConfigRecord(), FakeGrid({1, 2})))


def step(
    strategy: FedAvg, model: ArrayRecord, *answers: ArrayRecord, server_round: int = 1
) -> dict[str, np.ndarray]:
    """One round in which all replies count the same; return the new model by name."""
    configure(strategy, model, server_round)
    given = replies(*(content(arrays) for arrays in answers))
    arrays, _ = strategy.aggregate_train(server_round, given)
    assert arrays is not None
    return {name: array.numpy() for name, array in arrays.items()}


def random_model(seed: int, size: int = 70_000, dtype: object = np.float32) -> ArrayRecord:
    """A model of more than two blocks of floats."""
    generator = np.random.default_rng(seed)
    return record(
        {
            "weight": generator.standard_normal((size // 7, 7)).astype(np.dtype(dtype)),
            "bias": generator.standard_normal(5),
        }
    )
