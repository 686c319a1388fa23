"""`start_server`, `start_client` and `start_simulation` with everything in this process."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flwr.app import ConfigRecord
from flwr.client import Client, NumPyClient, start_client
from flwr.common import Context, GetPropertiesIns, ReconnectIns, ndarrays_to_parameters
from flwr.server import (
    ClientManager,
    History,
    Server,
    ServerConfig,
    SimpleClientManager,
    start_server,
)
from flwr.server.strategy import FedAvg
from flwr.simulation import start_simulation

ONE: Any = {"min_fit_clients": 1, "min_evaluate_clients": 1, "min_available_clients": 1}


class Counting(NumPyClient):
    """Adds a number to a model of a size."""

    def __init__(self, size: int = 3, number: int = 1) -> None:
        self.size = size
        self.number = number

    def get_parameters(self, config: Any) -> Any:
        return [np.zeros(self.size)]

    def get_properties(self, config: Any) -> Any:
        return {"size": self.size}

    def fit(self, parameters: Any, config: Any) -> Any:
        return [array + self.number for array in parameters], 1, {}

    def evaluate(self, parameters: Any, config: Any) -> Any:
        return float(parameters[0].sum()), 1, {}


def with_clients(
    address: str, clients: list[dict[str, Any]], serve: Callable[[], History]
) -> History:
    """Serve clients that run in threads, and see that all of them end."""
    with ThreadPoolExecutor(len(clients)) as threads:
        running = [threads.submit(start_client, server_address=address, **each) for each in clients]
        history = serve()
        for each in running:
            each.result(60)
    return history


def test_models_beyond_the_size_of_a_call(address: str) -> None:
    clients = [{"client": Counting(200_000).to_client()} for _ in range(2)]
    history = with_clients(
        address,
        clients,
        lambda: start_server(server_address=address, config=ServerConfig(num_rounds=3)),
    )
    assert history.losses_distributed == [(1, 2e5), (2, 4e5), (3, 6e5)]


def test_a_client_fn_finds_its_state_again(address: str) -> None:
    def client_fn(context: Context) -> Client:
        seen: Any = context.state.setdefault("seen", ConfigRecord({"times": 0}))
        seen["times"] += 1  # of train, evaluate, train, …
        return Counting(number=seen["times"]).to_client()

    history = with_clients(
        address,
        [{"client_fn": client_fn}],
        lambda: start_server(
            server_address=address, config=ServerConfig(num_rounds=3), strategy=FedAvg(**ONE)
        ),
    )
    assert history.losses_distributed == [(1, 6.0), (2, 18.0), (3, 36.0)]


def test_a_client_fn_of_the_old_form(address: str) -> None:
    numbers: list[Any] = []

    def client_fn(cid: str) -> Client:
        numbers.append(cid)
        return Counting().to_client()

    history = with_clients(
        address,
        [{"client_fn": client_fn}],
        lambda: start_server(server_address=address, strategy=FedAvg(**ONE)),
    )
    assert history.losses_distributed == [(1, 3.0)]
    assert len(set(numbers)) == 1
    assert numbers[0].isdecimal()


def test_a_server_and_a_manager_of_ones_own(address: str) -> None:
    class Own(Server):
        def fit(self, num_rounds: int, timeout: float | None) -> tuple[History, float]:
            clients = self.client_manager().sample(2)
            sizes = [
                client.get_properties(GetPropertiesIns({}), timeout, None).properties["size"]
                for client in clients
            ]
            assert sizes == [3, 3]
            return super().fit(num_rounds, timeout)

    given = ndarrays_to_parameters([np.ones(3)])
    server = Own(client_manager=SimpleClientManager(), strategy=FedAvg(initial_parameters=given))
    history = with_clients(
        address,
        [{"client": Counting().to_client()} for _ in range(2)],
        lambda: start_server(server_address=address, server=server),
    )
    assert history.losses_distributed == [(1, 6.0)]


def test_a_client_that_is_told_to_comes_back(address: str, caplog: Any) -> None:
    caplog.set_level("INFO", "flwr")

    class Resting(FedAvg):
        def configure_evaluate(
            self, server_round: int, parameters: Any, client_manager: ClientManager
        ) -> Any:
            if server_round == 1:
                (client,) = client_manager.all().values()
                client.reconnect(ReconnectIns(seconds=0), None, None)
            return super().configure_evaluate(server_round, parameters, client_manager)

    history = with_clients(
        address,
        [{"client": Counting().to_client()}],
        lambda: start_server(
            server_address=address, strategy=Resting(**ONE), config=ServerConfig(num_rounds=2)
        ),
    )
    assert history.losses_distributed == [(1, 3.0), (2, 6.0)]
    assert "Disconnect, and come back in 0 s" in caplog.text


def test_nothing_is_left_of_a_server(address: str) -> None:
    before = {thread.name for thread in threading.enumerate()}
    with pytest.raises(ZeroDivisionError):
        start_server(server_address=address, strategy=Broken())
    assert {thread.name for thread in threading.enumerate()} <= before


class Broken(FedAvg):
    """Cannot begin."""

    def initialize_parameters(self, client_manager: Any) -> Any:
        raise ZeroDivisionError


def test_a_simulation(caplog: Any, tmp_path: Path) -> None:
    caplog.set_level("INFO", "flwr")
    begun = tmp_path / "begun"

    def client_fn(context: Context) -> Client:
        assert begun.exists()
        assert context.node_config["num-partitions"] == 4
        return Counting().to_client()

    history = start_simulation(
        client_fn=client_fn,
        num_clients=4,
        client_resources={"num_cpus": 1, "num_gpus": 0.0},
        config=ServerConfig(num_rounds=2),
        ray_init_args={"num_cpus": 1, "ignore_reinit_error": True},
        actor_kwargs={"on_actor_init_fn": begun.touch},
    )
    assert isinstance(history, History)
    assert history.losses_distributed == [(1, 3.0), (2, 6.0)]
    for line in (
        "DEPRECATED FEATURE: flwr.simulation.start_simulation()",
        "Starting Flower simulation, config: num_rounds=2, no round_timeout",
        "Flower VCE: Resources for each Virtual Client: {'num_cpus': 1, 'num_gpus': 0.0}",
        "These ray_init_args have no effect here: ignore_reinit_error",
    ):
        assert line in caplog.text


def test_clients_ids_end_the_script() -> None:
    with pytest.raises(SystemExit, match="clients_ids"):
        start_simulation(client_fn=lambda context: Client(), num_clients=1, clients_ids=["a"])


def test_the_number_of_a_client_is_its_partition(caplog: Any) -> None:
    def client_fn(cid: str) -> Client:
        return Counting(number=int(cid)).to_client()

    history = start_simulation(client_fn=client_fn, num_clients=3)
    assert history.losses_distributed == [(1, 3.0)]
    assert "DEPRECATED FEATURE" in caplog.text
