"""Replies of a round that are held together: in memory within a bound, beyond it in a file."""

from typing import Any

import numpy as np
import pytest
from sim_apps import app as message_app

from flwr.app import ArrayRecord, Context, Message, RecordDict
from flwr.client import ClientApp, NumPyClient
from flwr.common import ndarrays_to_parameters, parameters_to_ndarrays
from flwr.runtime.spill import SpillFile
from flwr.server import ServerApp, ServerConfig
from flwr.server.strategy import FedAvg
from flwr.serverapp import Grid
from flwr.simulation import capacity
from flwr.simulation.engine import simulate

MODEL = 8 << 20  # bytes
NODES = 12
MIB = 1 << 20


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the sizes of what is moved to the file, as it is."""
    sizes: list[int] = []
    put = SpillFile.put

    def counted(file: SpillFile, content: Any) -> Any:
        sizes.append(content.nbytes)
        return put(file, content)

    monkeypatch.setattr(SpillFile, "put", counted)
    return sizes


class Adding(NumPyClient):
    def __init__(self, number: int) -> None:
        self.number = number

    def fit(self, parameters: Any, config: Any) -> Any:
        return [array + self.number for array in parameters], 1, {}


def first_values() -> list[float]:
    """Run a legacy app whose strategy walks its results; return what each client made."""
    seen: list[float] = []

    class Walking(FedAvg):
        def aggregate_fit(self, server_round: int, results: Any, failures: Any) -> Any:
            assert not failures
            for _, result in results:
                seen.append(float(parameters_to_ndarrays(result.parameters)[0][-1]))
            return super().aggregate_fit(server_round, results, failures)

    strategy = Walking(
        fraction_evaluate=0.0,
        min_fit_clients=NODES,
        initial_parameters=ndarrays_to_parameters([np.zeros(MODEL // 4, np.float32)]),
    )
    server = ServerApp(strategy=strategy, config=ServerConfig(num_rounds=1))
    client = ClientApp(lambda context: Adding(int(context.node_config["partition-id"])).to_client())
    simulate(server, client, nodes=NODES, init_args={"num_cpus": 2})
    return sorted(seen)


def test_results_of_a_legacy_round_stay_in_memory_if_there_is_room(written: list[int]) -> None:
    assert first_values() == list(range(NODES))
    assert written == []


def test_results_of_a_legacy_round_go_to_a_file_if_there_is_no_room(
    written: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capacity, "free_memory", lambda: 300 * MIB)
    assert first_values() == list(range(NODES))
    assert sum(written) >= NODES * MODEL - 64 * MIB - 3 * MODEL  # two workers' slots, one spare


def test_the_bound_is_not_that_of_a_list_of_messages(run: Any, written: list[int]) -> None:
    def main(grid: Grid, context: Context) -> None:
        content = RecordDict({"arrays": ArrayRecord([np.zeros(MODEL // 4, np.float32)])})
        messages = [Message(content, node, "train") for node in grid.get_node_ids()]
        assert len(list(grid.send_and_receive(messages))) == NODES

    run(main, message_app, nodes=NODES)
    assert written


@pytest.mark.parametrize(
    ("free", "held"), [(64, 64), (4096, 512), (1 << 30, 1024)], ids=["little", "some", "much"]
)
def test_how_much_is_held_together(free: int, held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "free_memory", lambda: free * MIB)
    assert capacity.bytes_to_hold_together() == held * MIB
