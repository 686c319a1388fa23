"""The server's rules alone, next to the same rule in plain NumPy: speed and memory.

Prints one JSON object: GB/s of replies, and peak memory in models beyond the replies and the model
that was sent. Uses the public interface only.
"""

import argparse
import json
import logging
import math
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress

import numpy as np

from flwr.app import ArrayRecord, ConfigRecord, Message, Metadata, MetricRecord, RecordDict
from flwr.serverapp import strategy

LAYERS = 10
BLOCK = 1 << 15
RATE, LOSS, Q = 0.1, 1.0, 0.5  # q-FedAvg: the clients' learning rate and losses

Model = list[np.ndarray]
Step = Callable[..., None]  # (sent, mean, room, *moments), blocks; mean becomes the new model


def momentum(sent: np.ndarray, mean: np.ndarray, room: np.ndarray, v: np.ndarray) -> None:
    """FedAvgM with learning rate 0.5 and momentum 0.9."""
    np.subtract(sent, mean, out=room)
    v *= 0.9
    v += room
    np.multiply(v, 0.5, out=room)
    np.subtract(sent, room, out=mean)


def adaptive(follow: Step, eta: float, beta_1: float) -> Step:
    """Make the step of an adaptive rule from how its v follows the squared difference."""

    def step(
        sent: np.ndarray, mean: np.ndarray, room: np.ndarray, m: np.ndarray, v: np.ndarray
    ) -> None:
        mean -= sent
        np.square(mean, out=room)
        m *= beta_1
        mean *= 1 - beta_1
        m += mean
        follow(v, room, mean)
        np.sqrt(v, out=room)
        room += 1e-3
        np.multiply(m, eta, out=mean)
        mean /= room
        mean += sent

    return step


def adagrad(v: np.ndarray, square: np.ndarray, _: np.ndarray) -> None:
    v += square


def adam(v: np.ndarray, square: np.ndarray, _: np.ndarray) -> None:
    v *= 0.99
    square *= 1 - 0.99
    v += square


def yogi(v: np.ndarray, square: np.ndarray, room: np.ndarray) -> None:
    np.subtract(v, square, out=room)
    np.sign(room, out=room)
    square *= 1 - 0.99
    square *= room
    v -= square


ETA_1 = 0.1 * math.sqrt(1 - 0.99**2) / (1 - 0.9**2)  # FedAdam's in round 1
PLAIN: dict[str, tuple[Step | None, int]] = {  # rule -> step, moments
    "FedAvg": (None, 0),
    "FedAvgM": (momentum, 1),
    "FedAdagrad": (adaptive(adagrad, 0.1, 0.0), 2),
    "FedAdam": (adaptive(adam, ETA_1, 0.9), 2),
    "FedYogi": (adaptive(yogi, 0.01, 0.9), 2),
    "QFedAvg": (None, 0),
}
SETTINGS: dict[str, dict[str, float]] = {
    "FedAvgM": {"server_learning_rate": 0.5, "server_momentum": 0.9},
    "QFedAvg": {"client_learning_rate": RATE, "q": Q},
}


def plain(rule: str, sent: Model, models: list[Model]) -> Model:
    """Apply a rule in NumPy, block by block and in place."""
    if rule == "QFedAvg":
        return plain_fair(sent, models)
    step, moments = PLAIN[rule]
    weights = np.arange(1.0, len(models) + 1, dtype=np.float32)
    weights /= weights.sum()
    new = [np.empty_like(array) for array in sent]
    state = [[np.zeros_like(array) for _ in range(moments)] for array in sent]
    scratch = np.empty(BLOCK, np.float32)
    for layer, cut in cuts(sent):
        block, old = new[layer][cut], sent[layer][cut]
        room = scratch[: block.size]
        np.multiply(models[0][layer][cut], weights[0], out=block)
        for weight, model in zip(weights[1:], models[1:], strict=True):
            np.multiply(model[layer][cut], weight, out=room)
            block += room
        if step is not None:
            step(old, block, room, *(moment[cut] for moment in state[layer]))
    return new


def plain_fair(sent: Model, models: list[Model]) -> Model:
    """Apply q-FedAvg, whose losses are equal here, in NumPy: each reply is read once."""
    new = [np.zeros_like(array) for array in sent]
    scratch = np.empty(BLOCK, np.float32)
    distance = 0.0
    for layer, cut in cuts(sent):
        block, old = new[layer][cut], sent[layer][cut]
        room = scratch[: block.size]
        for model in models:
            np.subtract(model[layer][cut], old, out=room)
            block += room
            np.square(room, out=room)
            distance += float(room.sum())
    scale = np.float32(1 / (len(models) + Q / LOSS * distance / RATE))
    for layer, cut in cuts(sent):
        block = new[layer][cut]
        block *= scale
        block += sent[layer][cut]
    return new


def cuts(model: Model) -> Iterator[tuple[int, slice]]:
    """Yield the blocks of a model: layer and slice."""
    for layer, array in enumerate(model):
        for low in range(0, array.size, BLOCK):
            yield layer, slice(low, low + BLOCK)


class Nodes:
    """As much of a grid as a strategy asks for."""

    def get_node_ids(self) -> list[int]:
        """Return two ids."""
        return [1, 2]


def reply(node_id: int, arrays: Model) -> Message:
    """Make the reply of a node whose weight is its id."""
    metadata = Metadata(1, str(node_id), node_id, 1, "0", "", time.time(), 3600, "train")
    metrics = MetricRecord({"num-examples": node_id, "train_loss": LOSS})
    content = RecordDict({"arrays": ArrayRecord(arrays), "metrics": metrics})
    return Message(metadata=metadata, content=content)


def prepared(rule: str, sent: Model, models: list[Model]) -> Callable[[], ArrayRecord]:
    """Return a round's aggregation; its replies are its own, as upstream empties some."""
    made = getattr(strategy, rule)(**SETTINGS.get(rule, {}))
    with suppress(RuntimeError):  # upstream makes no messages outside a run, but keeps the model
        list(made.configure_train(1, ArrayRecord(sent), ConfigRecord(), Nodes()))
    replies = [reply(node_id, model) for node_id, model in enumerate(models, start=1)]
    return lambda: made.aggregate_train(1, replies)[0]


def seconds(prepare: Callable[[], Callable[[], object]], runs: int) -> float:
    """Return the median duration of some prepared work, after one run to warm up."""
    times = []
    for _ in range(runs + 1):
        work = prepare()
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def peak_bytes(work: Callable[[], object]) -> int:
    """Return how much memory some work needs at its peak."""
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def figures_of(rule: str, sent: Model, models: list[Model], runs: int) -> dict[str, float]:
    """Return the figures of one rule, after a look at whether both ways agree."""
    new = prepared(rule, sent, models)().to_numpy_ndarrays()
    for ours, theirs in zip(new, plain(rule, sent, models), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-4)
    size = sum(array.nbytes for array in sent)
    gigabytes = size * len(models) / 1e9
    name = rule.lower()
    return {
        f"{name}_gb_s": gigabytes / seconds(lambda: prepared(rule, sent, models), runs),
        f"{name}_numpy_gb_s": gigabytes / seconds(lambda: lambda: plain(rule, sent, models), runs),
        f"{name}_models": peak_bytes(prepared(rule, sent, models)) / size,
    }


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("rules", nargs="*", metavar="RULE", help=", ".join(PLAIN))
parser.add_argument("--replies", type=int, default=20)
parser.add_argument("--values", type=int, default=2_500_000)
parser.add_argument("--runs", type=int, default=5)

if __name__ == "__main__":
    args = parser.parse_args()
    logging.getLogger("flwr").setLevel(logging.ERROR)
    rng = np.random.default_rng(0)
    sent, *models = (
        [rng.standard_normal(args.values // LAYERS, dtype=np.float32) for _ in range(LAYERS)]
        for _ in range(args.replies + 1)
    )
    figures: dict[str, float] = {}
    for rule in args.rules or PLAIN:
        figures |= figures_of(rule, sent, models, args.runs)
    print(json.dumps(figures))
