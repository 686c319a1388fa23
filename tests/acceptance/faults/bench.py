"""Where faults are injected: apps with a part replaced, and the terminals of the commands."""

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from deployed import BIN, GUARD, Deployment, free_ports

SERVER = """
# imports
import numpy as np
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg

class Strategy(FedAvg):
    settings = {"min_available_nodes": 2}
    # methods

def evaluate_fn(number, arrays):
    return MetricRecord({"accuracy": 0.5})

app = ServerApp()

# lifespan

@app.main()
def main(grid, context):
    # main
    Strategy(**Strategy.settings).start(
        grid=grid,
        initial_arrays=ArrayRecord([np.zeros(3, np.float32)]),
        num_rounds=context.run_config["num-server-rounds"],
        timeout=context.run_config["timeout"],
        evaluate_fn=evaluate_fn,
    )
"""

CLIENT = """
# imports
import numpy as np
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

def first(context):
    return context.node_config["partition-id"] == 0

def mod(msg, context, call_next):
    # mod
    return call_next(msg, context)

app = ClientApp(mods=[mod])

# lifespan

@app.train()
def train(msg, context):
    # train
    arrays, weight, name = [np.ones(3, np.float32)], 1, "num-examples"
    # values
    content = {
        "arrays": ArrayRecord(arrays),
        "metrics": MetricRecord({"loss": 0.25, name: weight}),
    }
    # content
    return Message(RecordDict(content), reply_to=msg)

@app.evaluate()
def evaluate(msg, context):
    # evaluate
    return Message(RecordDict({"metrics": MetricRecord({"num-examples": 1})}), reply_to=msg)

# query
"""

PROJECT = """
[project]
name = "tiny"
version = "1.0.0"

[tool.flwr.app]
publisher = "tester"

[tool.flwr.app.components]
serverapp = "tiny.server_app:app"
clientapp = "tiny.client_app:app"

[tool.flwr.app.config]
num-server-rounds = 2
learning-rate = 0.1
timeout = 100.0

[tool.flwr.federations]
default = "pair"

[tool.flwr.federations.pair]
options.num-supernodes = 2
"""


class Terminal:
    """A command as its user sees it: all that it prints, and when.

    Attributes
    ----------
    happened : float
        When the fault happened, of ``time.monotonic``; first of all the command's start.
    """

    def __init__(
        self, command: Sequence[str | Path], environment: dict[str, str], cwd: Path
    ) -> None:
        self.happened = time.monotonic()
        self.pieces: list[tuple[float, str]] = []
        self._more = threading.Condition()
        self._over = False
        self.process = subprocess.Popen(
            [str(BIN / command[0]), *map(str, command[1:])],
            env=environment,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def text(self) -> str:
        """All that was printed so far."""
        return "".join(piece for _, piece in self.pieces)

    def happens(self) -> None:
        """Note that the fault happens now."""
        self.happened = time.monotonic()

    def wait_for(self, pattern: str) -> "re.Match[str]":
        """Wait until something that matches was printed."""
        with self._more:
            self._more.wait_for(lambda: self._over or re.search(pattern, self.text), GUARD)
        found = re.search(pattern, self.text)
        assert found, f"{pattern!r} is not in:\n{self.text}"
        return found

    def named_after(self, text: str) -> float | None:
        """Return the seconds from the fault until a text was there; None if it never was."""
        so_far = ""
        for at, piece in self.pieces:
            so_far += piece
            if text in so_far:
                return max(0.0, at - self.happened)
        return None

    def end(self) -> int:
        """Wait for its end; return the exit status."""
        code = self.process.wait(GUARD)
        self._reader.join(5.0)
        return code

    def close(self) -> None:
        """End it, if it has not ended."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as pipe:
            while block := os.read(pipe.fileno(), 1 << 16):
                with self._more:
                    self.pieces.append((time.monotonic(), block.decode(errors="replace")))
                    self._more.notify_all()
        with self._more:
            self._over = True
            self._more.notify_all()


@dataclass
class Bench:
    """What a fault is injected with.

    Attributes
    ----------
    folder : Path
        Of this fault alone.
    request : FixtureRequest
        Starts the deployment, if the fault wants one.
    terminal : Terminal or None
        The one in which the cause has to be named.
    """

    folder: Path
    request: pytest.FixtureRequest
    terminal: Terminal | None = None
    started: list[Terminal] = field(default_factory=list)

    @property
    def home(self) -> Path:
        """``FLWR_HOME`` of commands in place."""
        return self.folder / "home"

    @property
    def deployment(self) -> Deployment:
        """A hub with two nodes, which all faults share that leave it as it is."""
        shared: Deployment = self.request.getfixturevalue("shared")
        return shared

    def app(
        self,
        *,
        server: dict[str, str] | None = None,
        client: dict[str, str] | None = None,
        project: dict[str, str] | None = None,
    ) -> Path:
        """Write an app with some texts replaced: ``# main`` by a statement, for example."""
        folder = self.folder / "tiny-app"
        package = folder / "tiny"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "server_app.py").write_text(_replaced(SERVER, server))
        (package / "client_app.py").write_text(_replaced(CLIENT, client))
        (folder / "pyproject.toml").write_text(_replaced(PROJECT, project))
        return folder

    def start(self, *command: str | Path, **variables: str) -> Terminal:
        """Start a command on this machine, with a home of its own."""
        kept = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
        quiet = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
        environment = {**kept, "FLWR_HOME": str(self.home), **quiet, **variables}
        return self._started(Terminal(command, environment, self.folder))

    def run(self, app: Path, *arguments: str | Path, **variables: str) -> Terminal:
        """Run an app in place."""
        return self.start("flwr", "run", app, *arguments, **variables)

    def run_there(
        self, app: Path, *arguments: str | Path, deployment: Deployment | None = None
    ) -> Terminal:
        """Run an app at a SuperLink, and follow it."""
        deployment = deployment or self.deployment
        command = ["flwr", "run", app, "hub", "--stream", *arguments]
        return self._started(Terminal(command, deployment.environment("user"), deployment.work))

    def run_at(self, address: str, *lines: str) -> Terminal:
        """Run an app at an address, with lines of its connection."""
        self.home.mkdir(exist_ok=True)
        settings = "\n".join(lines or ("insecure = true",))
        (self.home / "config.toml").write_text(
            f"[superlink.hub]\naddress = '{address}'\n{settings}\n"
        )
        return self.start("flwr", "run", self.app(), "hub", "--stream")

    def hub(self, *options: str | Path, **variables: str) -> Terminal:
        """Start a hub, at free ports where the options name none."""
        ports = free_ports(3)
        names = ("serverappio", "fleet", "control")
        addresses = [
            f"--{name}-api-address=127.0.0.1:{port}"
            for name, port in zip(names, ports, strict=True)
        ]
        return self.start("flower-superlink", *addresses, *options, **variables)

    def close(self) -> None:
        """End what was started."""
        for terminal in self.started:
            terminal.close()

    def _started(self, terminal: Terminal) -> Terminal:
        self.started.append(terminal)
        self.terminal = terminal
        return terminal


def _replaced(source: str, parts: dict[str, str] | None) -> str:
    for old, new in (parts or {}).items():
        assert source.count(old) == 1, f"{old!r} is {source.count(old)} times in:\n{source}"
        source = source.replace(old, new)
    return source
