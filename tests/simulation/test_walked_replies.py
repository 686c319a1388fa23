"""Strategies in a real simulation whose replies do not fit into memory together."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sim_apps import app

from flwr.app import ArrayRecord, Context, Message
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Bulyan, FedAdam, FedAvg

MODEL = 16 << 20  # bytes
NODES = 24
FREE = 64 << 20  # what held replies may take of shared memory before they are put on disk


def resident() -> int:
    """Bytes of this process that no file stands behind."""
    lines = Path("/proc/self/status").read_text().splitlines()
    kilobytes = dict(line.split(":") for line in lines if line.startswith(("RssAnon", "RssShmem")))
    return sum(int(text.split()[0]) << 10 for text in kilobytes.values())


def walking(base: type[FedAvg], seen: list[tuple[float, int]]) -> Any:
    class Walking(base):  # type: ignore[misc, valid-type]
        def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> Any:
            aggregated = super().aggregate_train(server_round, replies)
            for reply in replies:
                [values] = reply.content["arrays"].values()
                seen.append((float(values.numpy()[-1]), resident()))
            return aggregated

    return Walking


@pytest.mark.parametrize(
    ("base", "settings", "moments"),
    [
        (FedAvg, {}, 0),
        (FedAdam, {}, 2),
        (Bulyan, {"num_malicious_nodes": 2}, 0),
    ],
)
def test_replies_are_walked_after_super_in_bounded_memory(
    run: Any, base: type[FedAvg], settings: dict[str, int], moments: int
) -> None:
    seen: list[tuple[float, int]] = []
    before = resident()

    def main(grid: Grid, context: Context) -> None:
        strategy = walking(base, seen)(fraction_evaluate=0.0, **settings)
        strategy.start(grid, ArrayRecord([np.zeros(MODEL // 4, np.float32)]), num_rounds=2)

    run(main, app, nodes=NODES)
    first = sorted(value for value, _ in seen[:NODES])
    assert first == [1 + node / 8 for node in range(NODES)]
    # beyond them: the model that is sent, the sum, a slot for each of two workers, one spare
    assert max(taken for _, taken in seen) - before < FREE + (7 + moments) * MODEL
    assert (7 + moments) * MODEL + FREE < NODES * MODEL
