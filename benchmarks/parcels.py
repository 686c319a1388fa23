"""Messages to bytes and back: large ones in GB/s, small ones in microseconds.

Prints one JSON object. Writing includes making the record, reading includes writable arrays.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np

from flwr import wire
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict

LAYERS = 10


def message(arrays: list[np.ndarray]) -> Message:
    """Make an instruction that carries the arrays."""
    metrics = MetricRecord({"num-examples": 1})
    return Message(RecordDict({"arrays": ArrayRecord(arrays), "metrics": metrics}), 1, "train")


def seconds(work: Callable[[], object], runs: int) -> float:
    """Return the median duration of some work."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def both_ways(values: int, runs: int) -> tuple[float, float, float]:
    """Return the seconds of a plain copy, of writing and of reading a message."""
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(values // LAYERS, dtype=np.float32) for _ in range(LAYERS)]
    room = np.zeros(values * 4 + (1 << 16), np.uint8)
    used = wire.seal(message(arrays)).write_into(room.data)

    def write() -> None:
        wire.seal(message(arrays)).write_into(room.data)

    def read() -> None:
        wire.open(room.data[:used]).content.array_records["arrays"].to_numpy_ndarrays()

    return seconds(room.copy, runs), seconds(write, runs), seconds(read, runs)


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--values", type=int, default=25_000_000)
parser.add_argument("--runs", type=int, default=5)

if __name__ == "__main__":
    args = parser.parse_args()
    gigabytes = args.values * 4 / 1e9
    copy, write, read = both_ways(args.values, args.runs)
    _, small_write, small_read = both_ways(1000, 200 * args.runs)
    figures = {
        "copy_gb_s": gigabytes / copy,
        "write_gb_s": gigabytes / write,
        "read_gb_s": gigabytes / read,
        "small_write_us": small_write * 1e6,
        "small_read_us": small_read * 1e6,
    }
    print(json.dumps(figures))
