"""Apps for a node, written into a folder: what a client does is chosen by the message's type."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil

from flwr.app import ArrayRecord, ConfigRecord, RecordDict

PROJECT = """
[project]
name = "nodeapp"
version = "1.0.0"
dependencies = []

[tool.flwr.app]
publisher = "tests"

[tool.flwr.app.components]
serverapp = "nodeapp.server:app"
clientapp = "nodeapp.client:app"

[tool.flwr.app.config]
"""

CLIENT = '''
import os
import random
import signal
import threading
from pathlib import Path

import numpy as np

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


def answer(message, **metrics):
    metrics["pid"] = os.getpid()
    return Message(RecordDict({"metrics": MetricRecord(metrics)}), reply_to=message)


def note(message, text):
    """Append a line to a file that the message names."""
    with Path(message.content["config"]["file"]).open("a") as file:
        file.write(f"{text}\\n")


@app.train()
def train(message, context):
    arrays = [a + np.float32(1) for a in message.content["arrays"].to_numpy_ndarrays()]
    content = RecordDict({"arrays": ArrayRecord(arrays)})
    return Message(content, reply_to=message)


@app.train("frozen")
def train_last_layer(message, context):
    arrays = message.content["arrays"].to_numpy_ndarrays()
    arrays[-1] = arrays[-1] + 1
    return Message(RecordDict({"arrays": ArrayRecord(arrays)}), reply_to=message)


@app.train("keep")
def train_and_keep(message, context):
    """Answer with one array, and keep the one that came, or the answer, in the context."""
    given = message.content["arrays"]
    answer = ArrayRecord([a + np.float32(1) for a in given.to_numpy_ndarrays()])
    context.state["kept"] = answer if message.content["config"]["answer"] else given
    return Message(RecordDict({"arrays": answer}), reply_to=message)


@app.query("kept")
def tell_kept(message, context):
    return answer(message, kept=float(context.state["kept"].to_numpy_ndarrays()[0][0]))


@app.query()
def count(message, context):
    """Count the messages of this run in the context, with an array beside."""
    state = context.state
    n = state["n"]["n"] + 1 if "n" in state else 1
    state["n"] = MetricRecord({"n": n})
    state["a"] = ArrayRecord([np.full(50_000, n, np.float32)])
    return answer(message, n=n, sum=float(state["a"].to_numpy_ndarrays()[0].sum()))


@app.query("times")
def times(message, context):
    metadata = message.metadata
    return answer(message, created_at=metadata.created_at, ttl=metadata.ttl)


@app.query("facts")
def facts(message, context):
    config = {"run": str(sorted(context.run_config.items())),
              "node": str(sorted(context.node_config.items()))}
    content = RecordDict({
        "metrics": MetricRecord({"random": random.random(), "numpy": float(np.random.rand()),
                                 "node-id": context.node_id, "pid": os.getpid()}),
        "config": ConfigRecord(config),
    })
    return Message(content, reply_to=message)


@app.query("once")
def once(message, context):
    """Note that it was run; the first time, wait for ever."""
    first = not Path(message.content["config"]["file"]).exists()
    note(message, os.getpid())
    if first and message.content["config"]["stall"]:
        threading.Event().wait()
    return answer(message)


@app.query("note")
def just_note(message, context):
    note(message, "ran")
    return answer(message)


@app.query("stuck")
def stuck(message, context):
    note(message, os.getpid())
    threading.Event().wait()


@app.query("raise")
def fail(message, context):
    context.state["n"] = MetricRecord({"n": 100})
    raise RuntimeError("the data is gone")


@app.query("crash")
def crash(message, context):
    os.kill(os.getpid(), signal.SIGSEGV)


@app.query("killed")
def killed(message, context):
    note(message, "ran")
    os.kill(os.getpid(), signal.SIGKILL)
'''

SERVER = "from flwr.serverapp import ServerApp\n\napp = ServerApp()\n"
BROKEN_CLIENT = "import a_module_that_is_not_there\n\napp = None\n"


def write_app(folder: Path, client: str = CLIENT) -> Path:
    package = folder / "nodeapp"
    package.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(PROJECT)
    (package / "__init__.py").write_text("")
    (package / "server.py").write_text(
        "from flwr.serverapp import ServerApp\n\napp = ServerApp()\n"
    )
    (package / "client.py").write_text(client)
    return folder


def arrays(*values: np.ndarray) -> RecordDict:
    return RecordDict({"arrays": ArrayRecord(list(values))})


def config(**values: str | bool) -> RecordDict:
    return RecordDict({"config": ConfigRecord(dict(values))})


def wait_until(condition: Callable[[], object], timeout: float = 30.0) -> None:
    """Wait for something that other processes do."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout} s in vain")
        threading.Event().wait(0.005)


def wait_for_lines(file: Path, count: int) -> list[str]:
    """Wait until a client has written so many lines."""
    wait_until(lambda: file.exists() and len(file.read_text().splitlines()) >= count)
    return file.read_text().splitlines()


def wait_until_gone(pid: int) -> None:
    """Wait for the end of a process."""
    wait_until(lambda: not psutil.pid_exists(pid))
