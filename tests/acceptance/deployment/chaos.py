"""Killing the processes of a deployment at random instants, and an app that notes what it does."""

import contextlib
import json
import random
import sqlite3
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from deployed import WAIT, Deployment, Running

MOST_PAUSE = 0.8  # seconds between two kills
_SERVER_APP, _WORKER = "serverapp_process", "flwr.runtime.zygote"  # in their command lines

CLIENT = """
import json, os, threading, time
import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()

@app.train()
def train(msg, context):
    note(context, "began", msg)
    wait_at(context.run_config["client-gate"])
    threading.Event().wait(context.run_config["seconds"])
    part = context.node_config["partition-id"]
    seen = context.state.get("seen")
    rounds = 1 if seen is None else seen["rounds"] + 1
    context.state["seen"] = ConfigRecord({"rounds": rounds})
    arrays = [
        np.float32(0.9) * array + np.float32(np.sin(part + rounds)) * (1 + np.arange(array.size))
        for array in msg.content["arrays"].to_numpy_ndarrays()
    ]
    metrics = MetricRecord({"rounds": rounds, "num-examples": 10 + part})
    content = RecordDict({"arrays": ArrayRecord([a.astype(np.float32) for a in arrays])})
    content["metrics"] = metrics
    return Message(content, reply_to=msg)

def note(context, what, msg):
    line = json.dumps([what, msg.metadata.message_id, time.time(), context.node_id])
    with open(os.path.join(context.run_config["journal"], str(os.getpid())), "a") as journal:
        journal.write(line + "\\n")
"""

SERVER_HEAD = """
import json, os, random, time
import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.serverapp import ServerApp, checkpoint
from flwr.serverapp.strategy import FedAdam

app = ServerApp()

def note(context, replies):
    for reply in replies:
        assert reply.has_content(), reply.error
        line = json.dumps(["used", reply.metadata.reply_to_message_id, time.time(), 0])
        with open(os.path.join(context.run_config["journal"], str(os.getpid())), "a") as journal:
            journal.write(line + "\\n")

def model():
    # one array that travels inside messages, one that is an object of its own
    return [np.zeros(10, np.float32), np.zeros(30_000, np.float32)]

def finish(context, arrays):
    path = os.path.join(context.run_config["journal"], "..", context.run_config["result"])
    np.savez(path + ".part.npz", *arrays)
    os.replace(path + ".part.npz", path)
"""

STRATEGY = """
class Noting(FedAdam):
    def aggregate_train(self, server_round, replies):
        if server_round == self.context.run_config["rounds"]:
            wait_at(self.context.run_config["gate"])
        replies = list(replies)
        note(self.context, replies)
        return super().aggregate_train(server_round, replies)

@app.main()
def main(grid, context):
    random.seed(7)
    strategy = Noting(
        fraction_train=0.67, min_train_nodes=2, min_available_nodes=3,
        fraction_evaluate=0.0, eta=0.1,
    )
    strategy.context = context
    rounds = context.run_config["rounds"]
    result = strategy.start(grid=grid, initial_arrays=ArrayRecord(model()), num_rounds=rounds)
    finish(context, result.arrays.to_numpy_ndarrays())
"""

OWN_MAIN = """
@app.main()
def main(grid, context):
    state = context.state
    if "progress" not in state:
        random.seed(7)
        state["arrays"] = ArrayRecord(model())
        state["progress"] = ConfigRecord({"round": 0})
        grid.wait_nodes(3)
    rounds = context.run_config["rounds"]
    for number in range(state["progress"]["round"], rounds):
        if number == rounds - 1:
            wait_at(context.run_config["gate"])
        nodes = sorted(random.sample(sorted(grid.get_node_ids()), 2))
        content = RecordDict({"arrays": state["arrays"]})
        replies = list(grid.send_and_receive([Message(content, node, "train") for node in nodes]))
        note(context, replies)
        models = [reply.content["arrays"].to_numpy_ndarrays() for reply in replies]
        mean = [sum(arrays) / np.float32(len(arrays)) for arrays in zip(*models)]
        state["arrays"] = ArrayRecord(mean)
        state["progress"] = ConfigRecord({"round": number + 1})
        checkpoint(grid)
    finish(context, state["arrays"].to_numpy_ndarrays())
"""

PROJECT = """
[project]
name = "chaos"
version = "1.0.0"

[tool.flwr.app]
publisher = "tester"

[tool.flwr.app.components]
serverapp = "chaos.server_app:app"
clientapp = "chaos.client_app:app"

[tool.flwr.app.config]
rounds = 30
seconds = 0.05
journal = ""
gate = ""
client-gate = ""
result = "result.npz"
"""


def write_chaos_app(folder: Path, server: str) -> Path:
    """Write the app; `server` is `STRATEGY` or `OWN_MAIN`."""
    package = folder / "chaos"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "server_app.py").write_text(SERVER_HEAD + server + WAIT)
    (package / "client_app.py").write_text(CLIENT + WAIT)
    (folder / "pyproject.toml").write_text(PROJECT)
    return folder


def submit(
    deployment: Deployment,
    app: Path,
    folder: Path,
    *,
    rounds: int,
    gate: Path | str = "",
    client_gate: Path | str = "",
) -> str:
    """Start a run of the app; return its id.

    Parameters
    ----------
    folder : Path
        For its result and its journal.
    rounds : int
        How many.
    gate, client_gate : Path, optional
        Where the ServerApp waits in its last round, and clients each time.
    """
    journal = folder / "journal"
    journal.mkdir(parents=True)
    settings = {"journal": journal, "gate": gate, "client-gate": client_gate}
    texts = [f"{name}='{value}'" for name, value in settings.items()]
    return deployment.submit(app, "-c", " ".join([f"rounds={rounds}", *texts]))


def arrays_of(folder: Path) -> list[bytes]:
    """Return what came of a run."""
    with np.load(folder / "result.npz") as saved:
        return [saved[name].tobytes() for name in saved.files]


def blobs_of(deployment: Deployment) -> list[Path]:
    """Return the objects that the hub keeps, those that come or go included."""
    assert deployment.database is not None
    folder = deployment.database.with_name(f"{deployment.database.name}.blobs")
    return [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]


@dataclass
class Victims:
    """What may be killed, and how it comes back.

    Attributes
    ----------
    deployment : Deployment
        Hub and nodes.
    hosts : list of Running
        Of ClientApps, with ``--isolation process``.
    """

    deployment: Deployment
    hosts: list[Running] = field(default_factory=list)
    killed: Counter[str] = field(default_factory=Counter)

    def kill_one(self, generator: random.Random) -> None:
        """Kill one process at random, and start it again if nobody else does."""
        kinds: list[tuple[str, Callable[[random.Random], bool]]] = [
            ("hub", self._hub),
            ("node", self._node),
            ("server app", self._server_app),
            ("worker", self._worker),
        ]
        if self.hosts:
            kinds.append(("host", self._host))
        kind, kill = generator.choice(kinds)
        if kill(generator):
            self.killed[kind] += 1

    def _hub(self, _: random.Random) -> bool:
        assert self.deployment.hub is not None
        self.deployment.hub.kill()
        self.deployment.start_hub()
        return True

    def _node(self, generator: random.Random) -> bool:
        return self._begin_anew(self.deployment.nodes, generator)

    def _host(self, generator: random.Random) -> bool:
        return self._begin_anew(self.hosts, generator)

    def _begin_anew(self, running: list[Running], generator: random.Random) -> bool:
        index = generator.randrange(len(running))
        running[index].kill()
        program, *arguments = running[index].command
        running[index] = self.deployment.start("nodes", Path(program).name, *arguments)
        return True

    def _server_app(self, generator: random.Random) -> bool:
        return _kill(_named(self.deployment, _SERVER_APP), generator)

    def _worker(self, generator: random.Random) -> bool:
        return _kill(_named(self.deployment, _WORKER), generator)


def _named(deployment: Deployment, text: str) -> list[psutil.Process]:
    found = []
    for process in deployment.processes():
        try:
            if any(text in argument for argument in process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def _kill(processes: list[psutil.Process], generator: random.Random) -> bool:
    if not processes:
        return False
    try:
        generator.choice(processes).kill()
    except psutil.NoSuchProcess:
        return False
    return True


def kill_many(victims: Victims, kills: int, generator: random.Random) -> None:
    """Kill processes at random instants until so many were killed."""
    pause = threading.Event()
    while victims.killed.total() < kills:
        pause.wait(generator.uniform(0.0, MOST_PAUSE))
        victims.kill_one(generator)


def left_of(deployment: Deployment) -> list[str]:
    """Return what runs that have ended have left behind, which should be nothing."""
    files = [*blobs_of(deployment), *_kept_by_nodes(deployment)]
    processes = [*_named(deployment, _SERVER_APP), *_named(deployment, _WORKER)]
    left = [*map(str, files), *map(str, processes)]
    with contextlib.closing(sqlite3.connect(deployment.database or "")) as database:
        for table in ("messages", "replies", "objects", "grants"):
            (count,) = database.execute(f"SELECT count(*) FROM {table}").fetchone()
            left += [f"{count} {table}"] if count else []
    return left


def _kept_by_nodes(deployment: Deployment) -> list[Path]:
    folders = (deployment.home("nodes") / "wildflower" / "nodes").iterdir()
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if path.name not in ("lock", "secret")]


@dataclass(frozen=True)
class Journal:
    """What the app noted: by message, when client functions began and when replies were used."""

    began: dict[str, list[float]]
    used: dict[str, list[float]]

    @property
    def again_after_use(self) -> list[str]:
        """Messages that a client began again although the ServerApp had had the reply."""
        return [
            message
            for message, times in self.began.items()
            if message in self.used and max(times) > min(self.used[message])
        ]


def read_journal(folder: Path) -> Journal:
    """Read what the processes of a run noted."""
    found: dict[str, defaultdict[str, list[float]]] = {
        "began": defaultdict(list),
        "used": defaultdict(list),
    }
    for path in folder.iterdir():
        for what, message, at, _ in _entries(path.read_text().splitlines()):
            found[what][message].append(at)
    return Journal(dict(found["began"]), dict(found["used"]))


def _entries(lines: Iterable[str]) -> Iterable[tuple[str, str, float, int]]:
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:  # the process was killed as it wrote
            continue
