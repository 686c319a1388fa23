"""Legacy strategies next to their twins of the Message API, on the same results.

Prints one JSON object: GB/s of both, and how much longer the legacy one takes (1.0 is the same).
Results are as they come from a grid: records behind the parameters. Uses the public interface only.
"""

import argparse
import json
import logging
import statistics
import time
from collections.abc import Callable
from contextlib import suppress

import numpy as np

from flwr.app import ArrayRecord, ConfigRecord, Message, Metadata, MetricRecord, RecordDict
from flwr.common import Code, FitRes, Parameters, Status, ndarrays_to_parameters
from flwr.server import strategy as legacy
from flwr.server.client_manager import SimpleClientManager
from flwr.server.client_proxy import ClientProxy
from flwr.serverapp import strategy as message

LAYERS = 10
LOSS = 1.0
OK = Status(Code.OK, "")

Model = list[np.ndarray]
Settings = dict[str, float]

# rule -> settings of the legacy class, of its twin, and the twin's name where it is another
RULES: dict[str, tuple[Settings, Settings, str]] = {
    "FedAvg": ({}, {}, ""),
    "FedAvgM": ({"server_momentum": 0.9}, {"server_momentum": 0.9}, ""),
    "FedAdam": ({"tau": 1e-3}, {"tau": 1e-3}, ""),
    "FedMedian": ({}, {}, ""),
    "Krum": (
        {"num_malicious_clients": 2, "num_clients_to_keep": 5},
        {"num_malicious_nodes": 2, "num_nodes_to_select": 5},
        "MultiKrum",
    ),
    "QFedAvg": ({"qffl_learning_rate": 0.1}, {"client_learning_rate": 0.1, "q": 0.2}, ""),
}


class Client(ClientProxy):
    """A client that nobody asks anything."""

    get_properties = get_parameters = fit = evaluate = reconnect = lambda *_: None


class Nodes:
    """As much of a grid as a strategy asks for."""

    def get_node_ids(self) -> list[int]:
        """Return two ids."""
        return [1, 2]


def legacy_work(rule: str, sent: Model, models: list[Model]) -> Callable[[], Parameters]:
    """Return the aggregation of a legacy strategy that has configured a round."""
    settings = RULES[rule][0]
    parameters = ndarrays_to_parameters(sent)
    first = {"initial_parameters": parameters} if rule == "FedAdam" else {}
    made = getattr(legacy, rule)(**settings, **first)
    manager = SimpleClientManager()
    for name in "ab":
        manager.register(Client(name))
    made.configure_fit(1, parameters, manager)
    results = [
        (Client(str(n)), FitRes(OK, ndarrays_to_parameters(model), n, {"train_loss": LOSS}))
        for n, model in enumerate(models, start=1)
    ]
    return lambda: made.aggregate_fit(1, results, [])[0]


def message_work(rule: str, sent: Model, models: list[Model]) -> Callable[[], ArrayRecord]:
    """Return the aggregation of its twin."""
    _, settings, name = RULES[rule]
    made = getattr(message, name or rule)(**settings)
    with suppress(RuntimeError):  # upstream makes no messages outside a run, but keeps the model
        list(made.configure_train(1, ArrayRecord(sent), ConfigRecord(), Nodes()))
    replies = []
    for n, model in enumerate(models, start=1):
        metadata = Metadata(1, str(n), n, 1, "0", "", time.time(), 3600, "train")
        metrics = MetricRecord({"num-examples": n, "train_loss": LOSS})
        content = RecordDict({"arrays": ArrayRecord(model), "metrics": metrics})
        replies.append(Message(metadata=metadata, content=content))
    return lambda: made.aggregate_train(1, replies)[0]


def seconds(prepare: list[Callable[[], Callable[[], object]]], runs: int) -> list[float]:
    """Return the median duration of each work, taken in turns after one run to warm up.

    Each is prepared anew, as upstream empties some replies.
    """
    times: list[list[float]] = [[] for _ in prepare]
    for _ in range(runs + 1):
        for make, taken in zip(prepare, times, strict=True):
            work = make()
            start = time.perf_counter()
            work()
            taken.append(time.perf_counter() - start)
    return [statistics.median(taken[1:]) for taken in times]


def figures_of(rule: str, sent: Model, models: list[Model], runs: int) -> dict[str, float]:
    """Return the figures of one rule."""
    works = (legacy_work, message_work)
    old, new = seconds([lambda work=work: work(rule, sent, models) for work in works], runs)
    gigabytes = sum(array.nbytes for array in sent) * len(models) / 1e9
    name = rule.lower()
    return {
        f"{name}_gb_s": gigabytes / old,
        f"{name}_message_gb_s": gigabytes / new,
        f"{name}_times": old / new,
    }


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("rules", nargs="*", metavar="RULE", help=", ".join(RULES))
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
    for rule in args.rules or RULES:
        figures |= figures_of(rule, sent, models, args.runs)
    print(json.dumps(figures))
