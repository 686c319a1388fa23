"""XGBoost by bagging: the server's part of a round, while the model grows.

Prints one JSON object: the milliseconds of the first round and of the last one. The trees are
random texts of the usual shape, so no XGBoost is needed. Uses the public interface only.
"""

import argparse
import json
import logging
import random
import time
from contextlib import suppress

import numpy as np

from flwr.app import ArrayRecord, ConfigRecord, Message, Metadata, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedXgbBagging

LISTS = 14  # fields of a tree that have one value a node of it


class Nodes:
    """A grid of which a strategy only asks who is there."""

    def get_node_ids(self) -> set[int]:
        """Return two nodes."""
        return {1, 2}


def model_text(leaves: int) -> bytes:
    """Return a model with one tree."""
    tree = {
        "id": 0,
        **{f"field_{i}": [random.random() for _ in range(2 * leaves - 1)] for i in range(LISTS)},
    }
    model = {
        "gbtree_model_param": {"num_trees": "1", "num_parallel_tree": "1"},
        "iteration_indptr": [0, 1],
        "tree_info": [0],
        "trees": [tree],
    }
    learner = {
        "attributes": {},
        "gradient_booster": {"model": model, "name": "gbtree"},
        "learner_model_param": {"base_score": "[5E-1]", "num_class": "0", "num_feature": "20"},
        "objective": {"name": "binary:logistic"},
    }
    return json.dumps({"learner": learner, "version": [3, 2, 0]}, separators=(",", ":")).encode()


def reply(node_id: int, text: bytes) -> Message:
    """Make the reply of a node."""
    metadata = Metadata(1, str(node_id), node_id, 1, "0", "", time.time(), 3600, "train")
    arrays = ArrayRecord([np.frombuffer(text, np.uint8)])
    content = RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": 1})})
    return Message(metadata=metadata, content=content)


def round_seconds(nodes: int, leaves: int, rounds: int) -> list[float]:
    """Return how long the server's part of each round takes."""
    strategy, times = FedXgbBagging(), []
    arrays = ArrayRecord([np.array([], np.uint8)])
    for number in range(1, rounds + 1):
        replies = [reply(node, model_text(leaves)) for node in range(1, nodes + 1)]
        start = time.perf_counter()
        with suppress(RuntimeError):  # upstream makes no messages outside a run; it keeps the model
            list(strategy.configure_train(number, arrays, ConfigRecord(), Nodes()))
        arrays, _ = strategy.aggregate_train(number, replies)
        times.append(time.perf_counter() - start)
    return times


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--nodes", type=int, default=10)
parser.add_argument("--leaves", type=int, default=32)
parser.add_argument("--rounds", type=int, default=30)

if __name__ == "__main__":
    args = parser.parse_args()
    logging.getLogger("flwr").setLevel(logging.ERROR)
    random.seed(0)
    first, *_, last = round_seconds(args.nodes, args.leaves, args.rounds)
    print(json.dumps({"first_ms": first * 1000, "last_ms": last * 1000}))
