"""Aggregate replies that lie in a spill file, and print the peak of resident memory in MB.

python robust_memory.py RULE REPLIES MEGABYTES
"""

import logging
import sys
from pathlib import Path

import numpy as np

from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict, memory
from flwr.app.layout import Layout
from flwr.runtime.spill import SpillFile
from flwr.serverapp import strategy

LAYERS = 10
SETTINGS = {
    "Krum": {"num_malicious_nodes": 4},
    "MultiKrum": {"num_malicious_nodes": 4, "num_nodes_to_select": 8},
    "Bulyan": {"num_malicious_nodes": 4},
}


def spilled(file: SpillFile, layout: Layout, seed: int) -> ArrayRecord:
    """A model of random values in the file."""
    buffer = np.empty(layout.nbytes, np.uint8)
    values = buffer.view(np.float32)
    np.random.default_rng(seed).random(out=values, dtype=np.float32)
    return memory.adopt(layout, file.put(buffer))


def reply(node_id: int, arrays: ArrayRecord) -> Message:
    content = RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": node_id})})
    return Message(content, reply_to=Message(RecordDict(), node_id, "train"))


def peak_megabytes() -> float:
    [line] = [s for s in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in s]
    return int(line.split()[1]) * 1024 / 1e6


if __name__ == "__main__":
    rule, count, megabytes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    logging.getLogger("flwr").setLevel(logging.ERROR)
    layer = np.broadcast_to(np.float32(0), megabytes * 250_000 // LAYERS)
    layout = Layout.of([str(i) for i in range(LAYERS)], [np.empty_like(layer)] * LAYERS)
    file = SpillFile()
    replies = [reply(i + 1, spilled(file, layout, i)) for i in range(count)]
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    arrays, _ = getattr(strategy, rule)(**SETTINGS.get(rule, {})).aggregate_train(1, replies)
    assert arrays is not None
    print(peak_megabytes())  # noqa: T201  (its output is what it is run for)
