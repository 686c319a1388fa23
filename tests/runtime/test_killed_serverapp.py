"""ServerApps that are killed with SIGKILL as soon as a checkpoint is saved."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from app_hub import AppHub
from processes import Started, fab_of, start

from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.runtime import bodies

ROUNDS = 3
NODES = range(1, 7)
SIZE = 40_000  # float64 values, so that a model is an object

APP = """
import random
import numpy as np
from flwr.app import ArrayRecord, RecordDict
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import *

app = ServerApp()

@app.main()
def main(grid, context):
    random.seed(11)
    strategy = {strategy}
    initial = ArrayRecord([np.zeros({size}), np.ones(3, np.float32)])
    result = strategy.start(grid, initial, num_rounds={rounds})
    context.state["arrays"] = result.arrays
"""
PRIVATE = """DifferentialPrivacyServerSideAdaptiveClipping(
        FedAvg(fraction_train=0.5), noise_multiplier=0.0, num_sampled_clients=3)"""
STRATEGIES = [
    "FedAdam(fraction_train=0.5, fraction_evaluate=0.5)",
    "FedAvgM(fraction_train=0.5, server_momentum=0.9)",
    PRIVATE,
]


def train(message: Message) -> RecordDict:
    node, kind = message.metadata.dst_node_id, message.metadata.message_type
    if kind == "evaluate":
        return RecordDict({"metrics": MetricRecord({"num-examples": node, "loss": node / 3})})
    arrays = message.content["arrays"].to_numpy_ndarrays()
    chance = np.random.default_rng([node, int(message.content["config"]["server-round"])])
    moved = [(a + chance.standard_normal(a.shape) / 9).astype(a.dtype) for a in arrays]
    return RecordDict(
        {"arrays": ArrayRecord(moved), "metrics": MetricRecord({"num-examples": node})}
    )


def killing(hub: AppHub, numbers: set[int], attempt: list[Started]) -> Callable[[int], None]:
    def kill(number: int) -> None:
        if number in numbers:
            numbers.remove(number)
            os.kill(attempt[-1].process.pid, 9)

    return kill


def final_arrays(tmp_path: Path, strategy: str, kills: set[int]) -> tuple[bytes, AppHub]:
    code = APP.format(strategy=strategy, size=SIZE, rounds=ROUNDS)
    with AppHub(dict.fromkeys(NODES, train)) as hub:
        hub.fab = fab_of(tmp_path / "app", code)
        attempts: list[Started] = []
        hub.on_checkpoint = killing(hub, kills, attempts)
        hub.attempt = 0
        while hub.finished is None:
            hub.attempt += 1
            assert hub.attempt < 20
            attempts.append(start(hub, tmp_path))
            attempts[-1].wait()
        assert hub.finished.outcome == "completed", hub.text
        assert hub.finished.context is not None
        record = bodies.unpack(hub.finished.context, hub._give)["arrays"]
        return b"".join(array.tobytes() for array in record.to_numpy_ndarrays()), hub


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda text: text.partition("(")[0])
def test_the_final_arrays_are_those_of_an_undisturbed_run(strategy: str, tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    expected, whole = final_arrays(tmp_path / "whole", strategy, set())
    count = whole.asked["checkpoint"]
    assert count == 2 + 2 * ROUNDS
    kills = set(random.sample(range(1, count + 1), 4))
    arrays, killed = final_arrays(tmp_path / "killed", strategy, kills)
    assert arrays == expected
    assert set(killed.worked.values()) == {1}
    assert len(killed.worked) == len(whole.worked)
