"""FedAvg's aggregation alone, next to a blocked weighted sum in NumPy.

Prints one JSON object, in GB/s of replies. Uses the public interface only.
"""

import argparse
import json
import logging
import statistics
import time
from collections.abc import Callable

import numpy as np

from flwr.app import ArrayRecord, Message, Metadata, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAvg

LAYERS = 10
BLOCK = 1 << 16


def reply(node_id: int, arrays: list[np.ndarray]) -> Message:
    """Make the reply of a node whose weight is its id."""
    metadata = Metadata(1, str(node_id), node_id, 1, "0", "", time.time(), 3600, "train")
    metrics = MetricRecord({"num-examples": node_id})
    content = RecordDict({"arrays": ArrayRecord(arrays), "metrics": metrics})
    return Message(metadata=metadata, content=content)


def numpy_sum(models: list[list[np.ndarray]]) -> list[np.ndarray]:
    """Return the weighted mean, summed in place block by block."""
    weights = np.arange(1, len(models) + 1, dtype=np.float32)
    weights /= weights.sum()
    mean = [np.zeros_like(array) for array in models[0]]
    scratch = np.empty(BLOCK, np.float32)
    for layer, total in enumerate(mean):
        for low in range(0, total.size, BLOCK):
            block = total[low : low + BLOCK]
            room = scratch[: block.size]
            for weight, model in zip(weights, models, strict=True):
                np.multiply(model[layer][low : low + BLOCK], weight, out=room)
                block += room
    return mean


def seconds(work: Callable[[], object], runs: int) -> float:
    """Return the median duration of some work, after one run to warm up."""
    work()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--replies", type=int, default=20)
parser.add_argument("--values", type=int, default=2_500_000)
parser.add_argument("--runs", type=int, default=5)

if __name__ == "__main__":
    args = parser.parse_args()
    logging.getLogger("flwr").setLevel(logging.ERROR)
    rng = np.random.default_rng(0)
    models = [
        [rng.standard_normal(args.values // LAYERS, dtype=np.float32) for _ in range(LAYERS)]
        for _ in range(args.replies)
    ]
    replies = [reply(node_id, model) for node_id, model in enumerate(models, start=1)]
    arrays, _ = FedAvg().aggregate_train(1, replies)
    assert arrays is not None
    for ours, plain in zip(arrays.to_numpy_ndarrays(), numpy_sum(models), strict=True):
        np.testing.assert_allclose(ours, plain, atol=1e-5)
    gigabytes = args.replies * args.values * 4 / 1e9
    figures = {
        "numpy_gb_s": gigabytes / seconds(lambda: numpy_sum(models), args.runs),
        "fedavg_gb_s": gigabytes / seconds(lambda: FedAvg().aggregate_train(1, replies), args.runs),
    }
    print(json.dumps(figures))
