"""The real ``flwr`` command in processes of its own, with a home of its own."""

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

COMMAND = Path(sys.executable).with_name("flwr")

SERVER = """
from flwr.app import ArrayRecord, MetricRecord
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg
import numpy as np

app = ServerApp()

@app.main()
def main(grid, context):
    print("the server prints")
    FedAvg(**{strategy}).start(
        grid=grid,
        initial_arrays=ArrayRecord([np.zeros(3, np.float32)]),
        num_rounds=context.run_config["num-server-rounds"],
        evaluate_fn=lambda number, arrays: MetricRecord({"accuracy": 0.5 + 0.1 * number}),
    )
    {then}
"""

CLIENT = """
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()

@app.train()
def train(msg, context):
    print("a client prints")
    {first}
    arrays = [array + 1 for array in msg.content["arrays"].to_numpy_ndarrays()]
    metrics = MetricRecord({"loss": 0.25, "num-examples": 1})
    return Message(RecordDict({"arrays": ArrayRecord(arrays), "metrics": metrics}), reply_to=msg)

@app.evaluate()
def evaluate(msg, context):
    return Message(RecordDict({"metrics": MetricRecord({"num-examples": 1})}), reply_to=msg)
"""

PROJECT = """
[project]
name = "tiny"
version = "1.2.3"

[tool.flwr.app]
publisher = "tester"

[tool.flwr.app.components]
serverapp = "tiny.server_app:app"
clientapp = "tiny.client_app:app"

[tool.flwr.app.config]
num-server-rounds = 2
learning-rate = 0.1
"""

NODES = """
[tool.flwr.federations]
default = "pair"

[tool.flwr.federations.pair]
options.num-supernodes = 2

[tool.flwr.federations.far]
address = "far.example:9093"
"""


def write_app(
    folder: Path,
    *,
    strategy: str = "{}",
    then: str = "pass",
    first: str = "pass",
    project: str = PROJECT + NODES,
) -> Path:
    """Write a tiny app whose model is three numbers.

    Parameters
    ----------
    strategy : str
        Arguments of FedAvg, as the text of a dictionary.
    then : str
        A statement of the server after the training.
    first : str
        A statement of a client before it trains.
    """
    package = folder / "tiny"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "server_app.py").write_text(
        SERVER.replace("{strategy}", strategy).replace("{then}", then)
    )
    (package / "client_app.py").write_text(CLIENT.replace("{first}", first))
    (folder / "pyproject.toml").write_text(project)
    return folder


@dataclass(frozen=True)
class Outcome:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Flwr:
    """Runs the command."""

    home: Path
    work: Path

    @property
    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if k != "COLUMNS"}
        return {
            **kept,
            "FLWR_HOME": str(self.home),
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def __call__(self, *arguments: str | Path, cwd: Path | None = None) -> Outcome:
        """Run a command to its end."""
        done = subprocess.run(
            [COMMAND, *map(str, arguments)],
            cwd=cwd or self.work,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def in_shell(self, line: str, **variables: str) -> Outcome:
        """Run a shell's command line, in which ``flwr`` is the command."""
        done = subprocess.run(
            ["sh", "-c", f'flwr() {{ "$COMMAND" "$@"; }}; {line}'],
            cwd=self.work,
            env={**self.environment, "COMMAND": str(COMMAND), **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def status(self) -> str:
        """Return the status of the only run."""
        (run,) = json.loads(self("ls", "--format", "json").out)["runs"]
        return str(run["status"])

    def start(self, *arguments: str | Path) -> "subprocess.Popen[str]":
        """Start a command in a process group of its own, its output in one pipe."""
        return subprocess.Popen(
            [COMMAND, *map(str, arguments)],
            cwd=self.work,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


def group(leader: int) -> list[int]:
    """Return the processes of a process group."""
    members = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.getpgid(int(entry.name)) == leader:
                members.append(int(entry.name))
    return members
