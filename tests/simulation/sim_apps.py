"""ClientApps for the engine's tests; what a client does is chosen by the message's config."""

import os
import random
import signal
import threading
from typing import Any

import numpy as np

from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()
kept: list[Any] = []


@app.train()
def add_one(message: Message, context: Context) -> Message:
    """Answer each array plus one plus a little that differs by node."""
    little = np.float32(1 + context.node_config["partition-id"] / 8)
    arrays = [a + little for a in message.content["arrays"].to_numpy_ndarrays()]
    content = RecordDict(
        {
            "arrays": ArrayRecord(arrays),
            "metrics": MetricRecord({"num-examples": 1, "pid": os.getpid()}),
        }
    )
    return Message(content, reply_to=message)


@app.query()
def describe(message: Message, context: Context) -> Message:
    """Tell where and with what this runs."""
    content = RecordDict(
        {
            "metrics": MetricRecord(
                {
                    "pid": os.getpid(),
                    "thread": threading.get_ident(),
                    "partition": context.node_config["partition-id"],
                    "random": random.random(),
                    "numpy": np.random.rand(),
                }
            ),
            "config": ConfigRecord({"run-config": str(context.run_config)}),
        }
    )
    return Message(content, reply_to=message)


@app.query("count")
def count(message: Message, context: Context) -> Message:
    """Count the messages of this node in its state, with an array beside."""
    state = context.state
    if "n" not in state:
        state["n"] = MetricRecord({"n": 0})
        state["a"] = ArrayRecord([np.zeros(50_000, np.float32)])
    state["n"]["n"] += 1
    state["a"] = ArrayRecord([state["a"].to_numpy_ndarrays()[0] + 1])
    if message.content.config_records.get("config", {}).get("fail"):
        raise RuntimeError("after changing the state")
    if message.content.config_records.get("config", {}).get("clear"):
        context.state = RecordDict()
    total = float(state["a"].to_numpy_ndarrays()[0].sum())
    metrics = MetricRecord({"n": state["n"]["n"], "sum": total})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)


@app.query("misbehave")
def misbehave(message: Message, context: Context) -> Message:
    """Fail in the way that the config names, if it names this node's partition."""
    config = message.content["config"]
    if context.node_config["partition-id"] in config["partitions"]:
        how = config["how"]
        if how == "raise":
            raise ValueError("no such data")
        if how == "sys.exit":
            raise SystemExit(3)
        if how == "run_config":
            context.run_config["lr"] = 1.0
        elif how == "node_config":
            context.node_config["partition-id"] = 99
        elif how == "nothing":
            return None  # type: ignore[return-value]  # the mistake that is tested
        elif how == "exit":
            os._exit(7)
        elif how == "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif how == "surrogate":
            return Message(RecordDict({"c": ConfigRecord({"name": "\udc80"})}), reply_to=message)
        elif how == "raise surrogate":
            raise ValueError("\udc80")
        elif how == "state":
            context.state = 5  # type: ignore[assignment]  # the mistake that is tested
        elif how == "hang":
            threading.Event().wait(60)
    return Message(RecordDict({"metrics": MetricRecord({"pid": os.getpid()})}), reply_to=message)


@app.query("grow")
def grow(message: Message, context: Context) -> Message:
    """Answer with far more than was received."""
    size = int(message.content["config"]["size"])
    value = context.node_config["partition-id"]
    records = RecordDict(
        {
            "first": ArrayRecord([np.full(size, value, np.float32)]),
            "second": ArrayRecord({}),
            "third": ArrayRecord([np.full(size, value + 0.5, np.float64)]),
        }
    )
    return Message(records, reply_to=message)


@app.query("sleep")
def sleep(message: Message, context: Context) -> Message:
    """Take as long as the config says."""
    threading.Event().wait(message.content["config"]["seconds"])
    metrics = MetricRecord({"pid": os.getpid()})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)


@app.query("names")
def names(message: Message, context: Context) -> Message:
    """Answer how many array records came, and the sum of their first values."""
    records = message.content.array_records
    total = sum(float(record.to_numpy_ndarrays()[0][0]) for record in records.values())
    metrics = MetricRecord({"records": len(records), "sum": total})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)


@app.train("twice")
def train_twice(message: Message, context: Context) -> Message:
    """Make two large records, as clipping mods do: more than the slot was made for."""
    received = message.content["arrays"]
    first = ArrayRecord([received.to_numpy_ndarrays()[0] + 1])
    second = ArrayRecord([first.to_numpy_ndarrays()[0] - received.to_numpy_ndarrays()[0]])
    metrics = MetricRecord({"num-examples": 1})
    return Message(RecordDict({"arrays": second, "metrics": metrics}), reply_to=message)


@app.query("keep")
def keep(message: Message, context: Context) -> Message:
    """Hold on to what was received and what was sent, and say whether it has changed since."""
    changed = sum(not np.array_equal(record.to_numpy_ndarrays()[0], copy) for record, copy in kept)
    received = message.content["arrays"]
    sent = ArrayRecord([received.to_numpy_ndarrays()[0] * 2])
    for record in (received, sent):
        kept.append((record, record.to_numpy_ndarrays()[0].copy()))
    metrics = MetricRecord({"changed": changed, "kept": len(kept)})
    return Message(RecordDict({"arrays": sent, "metrics": metrics}), reply_to=message)
