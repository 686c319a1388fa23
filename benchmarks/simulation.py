"""Rounds of a simulation whose clients do next to nothing: what is left is the framework.

Prints one JSON object: seconds from the script's start to the end of the first round, and the
median of the later rounds. Uses the public interface only, so any Flower can run it.
"""

import time

BEGUN = time.perf_counter()

import argparse  # noqa: E402  (imports belong to what is measured)
import itertools  # noqa: E402
import json  # noqa: E402
import logging  # noqa: E402
import statistics  # noqa: E402

import numpy as np  # noqa: E402

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict  # noqa: E402
from flwr.clientapp import ClientApp  # noqa: E402
from flwr.serverapp import Grid, ServerApp  # noqa: E402
from flwr.serverapp.strategy import FedAvg  # noqa: E402
from flwr.simulation import run_simulation  # noqa: E402

LAYERS = 10

client_app = ClientApp()
server_app = ServerApp()
stamps: list[float] = []


@client_app.train()
def add_one(message: Message, context: Context) -> Message:
    """Answer each array plus one."""
    arrays = [
        array + np.float32(1)
        for array in message.content.array_records["arrays"].to_numpy_ndarrays()
    ]
    metrics = MetricRecord({"num-examples": 1})
    content = RecordDict({"arrays": ArrayRecord(arrays), "metrics": metrics})
    return Message(content, reply_to=message)


@server_app.main()
def main(grid: Grid, context: Context) -> None:
    """Train, note the time of each round, and check the result."""

    def note(server_round: int, arrays: ArrayRecord) -> None:
        stamps.append(time.perf_counter())

    rng = np.random.default_rng(0)
    start = [rng.standard_normal(args.values // LAYERS, dtype=np.float32) for _ in range(LAYERS)]
    strategy = FedAvg(
        fraction_train=args.per_round / args.nodes,
        fraction_evaluate=0.0,
        min_available_nodes=args.per_round,
    )
    result = strategy.start(grid, ArrayRecord(start), num_rounds=args.rounds, evaluate_fn=note)
    for before, after in zip(start, result.arrays.to_numpy_ndarrays(), strict=True):
        np.testing.assert_allclose(after - before, args.rounds, rtol=1e-3)


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--nodes", type=int, default=100)
parser.add_argument("--per-round", type=int, default=100)
parser.add_argument("--values", type=int, default=1000)
parser.add_argument("--rounds", type=int, default=20)

if __name__ == "__main__":
    args = parser.parse_args()
    logging.getLogger("flwr").setLevel(logging.ERROR)
    run_simulation(
        server_app,
        client_app,
        args.nodes,
        backend_config={"client_resources": {"num_cpus": 1}},
    )
    rounds = [after - before for before, after in itertools.pairwise(stamps[1:])]
    print(json.dumps({"first_s": stamps[1] - BEGUN, "round_s": statistics.median(rounds)}))
