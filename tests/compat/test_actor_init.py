"""`start_simulation(actor_kwargs=...)`: a function runs in each worker before its first client."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flwr.client import Client, NumPyClient
from flwr.common import Context, ndarrays_to_parameters
from flwr.server import ServerConfig
from flwr.server.strategy import FedAvg
from flwr.simulation import start_simulation


class Trains(NumPyClient):
    """Tells its number."""

    def __init__(self, number: str) -> None:
        self.number = number

    def fit(self, parameters, config):
        return parameters, 1, {"number": self.number}


def of_number(cid: str) -> Client:
    return Trains(cid).to_client()


def of_context(context: Context) -> Client:
    return Trains(str(context.node_config["partition-id"])).to_client()


@pytest.mark.parametrize("client_fn", [of_number, of_context])
def test_it_runs_once_a_worker_whatever_the_client_fn_takes(client_fn: Any, tmp_path: Path) -> None:
    def begin() -> None:
        with (tmp_path / str(os.getpid())).open("a") as file:
            file.write("begun\n")

    numbers: list[str] = []
    strategy = FedAvg(
        initial_parameters=ndarrays_to_parameters([np.zeros(1)]),
        fraction_evaluate=0.0,
        fit_metrics_aggregation_fn=lambda results: (
            numbers.extend(str(metrics["number"]) for _, metrics in results) or {}
        ),
    )
    start_simulation(
        client_fn=client_fn,
        num_clients=4,
        config=ServerConfig(num_rounds=2),
        strategy=strategy,
        actor_kwargs={"on_actor_init_fn": begin},
    )
    assert sorted(numbers) == sorted("0123" * 2)
    assert {file.read_text() for file in tmp_path.iterdir()} == {"begun\n"}
