"""The rules that stand up to malicious nodes, each next to the same in plain NumPy.

Prints one JSON object, in GB/s of replies. Uses the public interface only.
"""

import argparse
import json
import logging
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from flwr.app import ArrayRecord, Message, Metadata, MetricRecord, RecordDict
from flwr.serverapp import strategy

LAYERS = 10

Model = list[np.ndarray]


def median(models: np.ndarray, _: int) -> np.ndarray:
    middle: np.ndarray = np.median(models, axis=0)
    return middle


def trimmed_mean(models: np.ndarray, _: int) -> np.ndarray:
    cut = int(0.2 * len(models))
    return np.asarray(np.sort(models, axis=0)[cut : len(models) - cut].mean(axis=0))


def distances(models: np.ndarray) -> np.ndarray:
    """Return the squared distances between models."""
    between = np.zeros((len(models), len(models)))
    for first in range(len(models)):
        for second in range(first):
            difference = np.subtract(models[first], models[second], dtype=np.float64)
            between[first, second] = between[second, first] = difference @ difference
    return between


def krum_order(between: np.ndarray, malicious: int) -> np.ndarray:
    """Return the models' numbers, those with the lowest score first."""
    nearest = max(1, len(between) - malicious - 2)
    # in order, a model's distance to itself comes first
    return np.argsort(np.sort(between)[:, 1 : 1 + nearest].sum(axis=1))


def krum(models: np.ndarray, malicious: int) -> np.ndarray:
    return np.asarray(models[krum_order(distances(models), malicious)[0]])


def multikrum(models: np.ndarray, malicious: int) -> np.ndarray:
    best = krum_order(distances(models), malicious)[: len(models) // 2]
    return np.asarray(np.average(models[best], axis=0, weights=best + 1.0))


def bulyan(models: np.ndarray, malicious: int) -> np.ndarray:
    between = distances(models)
    left, chosen = list(range(len(models))), []
    while len(left) > 2 * malicious:
        chosen.append(left.pop(krum_order(between[np.ix_(left, left)], malicious)[0]))
    selected = models[chosen]
    apart = np.abs(selected - np.median(selected, axis=0))
    closest = np.argsort(apart, axis=0)[: len(chosen) - 2 * malicious]
    return np.asarray(np.take_along_axis(selected, closest, axis=0).mean(axis=0))


PLAIN: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "FedMedian": median,
    "FedTrimmedAvg": trimmed_mean,
    "Krum": krum,
    "MultiKrum": multikrum,
    "Bulyan": bulyan,
}


def reply(node_id: int, arrays: Model) -> Message:
    """Make the reply of a node whose weight is its id."""
    metadata = Metadata(1, str(node_id), node_id, 1, "0", "", time.time(), 3600, "train")
    metrics = MetricRecord({"num-examples": node_id})
    content = RecordDict({"arrays": ArrayRecord(arrays), "metrics": metrics})
    return Message(metadata=metadata, content=content)


def prepared(rule: str, models: list[Model], malicious: int) -> Callable[[], ArrayRecord]:
    """Return a round's aggregation; its replies are its own, as upstream empties some."""
    settings: dict[str, Any] = {} if rule.startswith("Fed") else {"num_malicious_nodes": malicious}
    if rule == "MultiKrum":
        settings["num_nodes_to_select"] = len(models) // 2
    made = getattr(strategy, rule)(**settings)
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


def figures_of(rule: str, models: list[Model], malicious: int, runs: int) -> dict[str, float]:
    """Return the figures of one rule."""
    gigabytes = sum(array.nbytes for model in models for array in model) / 1e9
    stacked = np.stack([np.concatenate(model) for model in models])
    plain = seconds(lambda: lambda: PLAIN[rule](stacked, malicious), 1)
    name = rule.lower()
    return {
        f"{name}_gb_s": gigabytes / seconds(lambda: prepared(rule, models, malicious), runs),
        f"{name}_numpy_gb_s": gigabytes / plain,
    }


def agreement(rule: str, models: list[Model], malicious: int) -> float:
    """Return the share of coordinates at which both ways agree: all but for ties."""
    stacked = np.stack([np.concatenate(model) for model in models])
    new = np.concatenate(prepared(rule, models, malicious)().to_numpy_ndarrays())
    return float(np.isclose(new, PLAIN[rule](stacked, malicious), atol=1e-5).mean())


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("rules", nargs="*", metavar="RULE", help=", ".join(PLAIN))
parser.add_argument("--replies", type=int, default=20)
parser.add_argument("--malicious", type=int, default=4)
parser.add_argument("--values", type=int, default=2_500_000)
parser.add_argument("--runs", type=int, default=5)
parser.add_argument("--check", action="store_true", help="show how far both ways agree instead")

if __name__ == "__main__":
    args = parser.parse_args()
    logging.getLogger("flwr").setLevel(logging.ERROR)
    rng = np.random.default_rng(0)
    models = [
        [rng.standard_normal(args.values // LAYERS, dtype=np.float32) for _ in range(LAYERS)]
        for _ in range(args.replies)
    ]
    figures: dict[str, float] = {}
    for rule in args.rules or PLAIN:
        if args.check:
            figures[f"{rule.lower()}_agreement"] = agreement(rule, models, args.malicious)
        else:
            figures |= figures_of(rule, models, args.malicious, args.runs)
    print(json.dumps(figures))
