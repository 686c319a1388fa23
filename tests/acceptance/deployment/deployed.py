"""A hub, nodes and the ``flwr`` command as processes, with homes and ports of their own."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import trustme

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[3]
DIGITS = ROOT / "examples" / "quickstart-numpy"
GUARD = 60.0  # seconds that nothing here takes, against hanging

HUB_READY = r"SuperLink.* ready"
NODE_READY = r"SuperNode \S+ is connected"


@dataclass(frozen=True)
class Outcome:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    def json(self) -> dict[str, Any]:
        """Return what was printed as JSON."""
        answer = json.loads(self.out)
        assert isinstance(answer, dict)
        return answer


class Running:
    """A process in a session of its own; what it prints is kept, line by line.

    Parameters
    ----------
    command : sequence of str
        The program and its arguments.
    environment : dict
        Its environment.
    """

    def __init__(self, command: Sequence[str], environment: dict[str, str], cwd: Path) -> None:
        self.command = list(command)
        self.lines: list[str] = []
        self._more = threading.Condition()
        self._over = False
        self.process = subprocess.Popen(
            self.command,
            env=environment,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    @property
    def output(self) -> str:
        """All that was printed so far."""
        with self._more:
            return "".join(self.lines)

    def wait_for(self, pattern: str, seconds: float = GUARD) -> "re.Match[str]":
        """Wait until a line that matches was printed; fail if the process ends without it."""
        wanted = re.compile(pattern)
        seen = 0

        def found() -> "re.Match[str] | None":
            nonlocal seen
            while seen < len(self.lines):
                seen += 1
                if match := wanted.search(self.lines[seen - 1]):
                    return match
            return None

        result: re.Match[str] | None = None

        def ready() -> bool:
            nonlocal result
            result = found()
            return result is not None or self._over

        with self._more:
            self._more.wait_for(ready, seconds)
        assert result is not None, (
            f"{self.command} did not print {pattern!r}"
            f"{' before it ended' if self._over else ''}:\n{self.output}"
        )
        return result

    def kill(self) -> None:
        """End it as a power cut would."""
        self.send(signal.SIGKILL)
        self.wait()

    def end(self) -> int:
        """Ask it to end, and return its exit status."""
        self.send(signal.SIGTERM)
        return self.wait()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process, if it is still there."""
        if self.process.poll() is None:
            os.kill(self.pid, number)

    def wait(self, seconds: float = GUARD) -> int:
        """Wait for its end; return the exit status."""
        code = self.process.wait(seconds)
        self._reader.join(1.0)  # a child may hold the pipe for longer
        return code

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as pipe:
            for line in pipe:
                with self._more:
                    self.lines.append(line)
                    self._more.notify_all()
        with self._more:
            self._over = True
            self._more.notify_all()


@dataclass(frozen=True)
class Certificates:
    """Files for TLS."""

    ca: Path
    certificate: Path
    key: Path


@dataclass
class Deployment:
    """What was started, and how to start it again.

    Attributes
    ----------
    folder : Path
        Holds all that it writes.
    tls : Certificates or None
        None: without.
    database : Path or None
        Of the hub.
    hub_options, node_options : sequence of str
        Further arguments.
    patches : dict
        By ``hub``, ``nodes`` or ``user``: a folder with a ``sitecustomize`` module, which the
        processes that are started from now on import first.
    """

    folder: Path
    tls: Certificates | None = None
    database: Path | None = None
    hub_options: Sequence[str] = ()
    node_options: Sequence[str] = ()
    patches: dict[str, Path] = field(default_factory=dict)
    hub: Running | None = None
    nodes: list[Running] = field(default_factory=list)
    started: list[Running] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.app_port, self.fleet_port, self.control_port = free_ports(3)
        self.work.mkdir()
        home = self.home("user")
        home.mkdir()
        trust = f"root-certificates = '{self.tls.ca}'" if self.tls else "insecure = true"
        (home / "config.toml").write_text(
            f"[superlink]\ndefault = 'hub'\n[superlink.hub]\n"
            f"address = '127.0.0.1:{self.control_port}'\n{trust}\n"
        )

    @property
    def work(self) -> Path:
        """The folder that commands are typed in."""
        return self.folder / "work"

    def home(self, whose: str) -> Path:
        """Return the ``FLWR_HOME`` of ``hub``, ``nodes`` or ``user``."""
        return self.folder / f"home-{whose}"

    def environment(self, whose: str) -> dict[str, str]:
        """Return the environment of a process."""
        kept = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
        if whose in self.patches:
            paths = [str(self.patches[whose]), *filter(None, [kept.get("PYTHONPATH")])]
            kept["PYTHONPATH"] = os.pathsep.join(paths)
        return {
            **kept,
            "FLWR_HOME": str(self.home(whose)),
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        }

    def start(self, whose: str, *command: str | Path) -> Running:
        """Start a process; it is ended with the deployment."""
        program, *arguments = map(str, command)
        running = Running([str(BIN / program), *arguments], self.environment(whose), self.work)
        self.started.append(running)
        return running

    def start_hub(self) -> Running:
        """Start the hub, at the same ports each time, and wait until it is ready."""
        links = ["--insecure"]
        if self.tls is not None:
            links = [f"--ssl-certfile={self.tls.certificate}", f"--ssl-keyfile={self.tls.key}"]
            links.append(f"--ssl-ca-certfile={self.tls.ca}")
        if self.database is not None:
            links.append(f"--database={self.database}")
        self.hub = self.start(
            "hub",
            "flower-superlink",
            *links,
            f"--serverappio-api-address=127.0.0.1:{self.app_port}",
            f"--fleet-api-address=127.0.0.1:{self.fleet_port}",
            f"--control-api-address=127.0.0.1:{self.control_port}",
            *self.hub_options,
        )
        self.hub.wait_for(HUB_READY)
        return self.hub

    def start_node(self, index: int, of: int, *options: str, ready: bool = True) -> Running:
        """Start a node with its part of the data; wait until it is connected."""
        trust = f"--root-certificates={self.tls.ca}" if self.tls else "--insecure"
        node = self.start(
            "nodes",
            "flower-supernode",
            trust,
            f"--superlink=127.0.0.1:{self.fleet_port}",
            f"--node-config=partition-id={index} num-partitions={of}",
            *self.node_options,
            *options,
        )
        self.nodes.append(node)
        if ready:
            node.wait_for(NODE_READY)
        return node

    def flwr(self, *arguments: str | Path, seconds: float = 100.0) -> Outcome:
        """Run a ``flwr`` command to its end."""
        done = subprocess.run(
            [BIN / "flwr", *map(str, arguments)],
            cwd=self.work,
            env=self.environment("user"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def run_json(self, *arguments: str | Path) -> dict[str, Any]:
        """Run a command that succeeds, and return its JSON."""
        outcome = self.flwr(*arguments, "--format", "json")
        assert outcome.code == 0, outcome
        return outcome.json()

    def submit(self, app: Path, *arguments: str) -> str:
        """Start a run without following it; return its id."""
        return str(self.run_json("run", app, "hub", *arguments)["run-id"])

    def run(self, run_id: str) -> dict[str, Any]:
        """Return what ``flwr ls`` says of a run."""
        (run,) = self.run_json("ls", "hub", "--run-id", run_id)["runs"]
        assert isinstance(run, dict)
        return run

    def follow(self, run_id: str, seconds: float = 100.0) -> Outcome:
        """Print the log of a run until its end."""
        return self.flwr("log", run_id, "hub", seconds=seconds)

    def processes(self) -> list[psutil.Process]:
        """Return all processes that work for this deployment: they have one of its homes."""
        mine = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                home = process.environ().get("FLWR_HOME", "")
                if home.startswith(f"{self.folder}{os.sep}") and process.status() != "zombie":
                    mine.append(process)
        return mine

    def app_processes(self) -> list[psutil.Process]:
        """Return the processes that the hub has started for runs."""
        hub = self.hub.pid if self.hub else 0
        home = str(self.home("hub"))
        found = []
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                if process.pid != hub and process.environ().get("FLWR_HOME") == home:
                    found.append(process)
        return found

    def close(self) -> None:
        """End everything, by process id; fail if anything is left."""
        for running in reversed(self.started):
            running.send(signal.SIGTERM)
        for running in self.started:
            try:
                running.wait(10.0)
            except subprocess.TimeoutExpired:
                running.kill()
        left = self.processes()
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(left, timeout=10.0)
        for running in self.started:
            running.wait()


def write_certificates(folder: Path, authority: trustme.CA, *names: str) -> Certificates:
    """Write what a server with some names needs."""
    folder.mkdir()
    server = authority.issue_cert(*names)
    files = Certificates(folder / "ca.crt", folder / "server.pem", folder / "server.key")
    authority.cert_pem.write_to_path(files.ca)
    server.private_key_pem.write_to_path(files.key)
    for blob in server.cert_chain_pems:
        blob.write_to_path(files.certificate, append=True)
    return files


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens at."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def wait_until(condition: Callable[[], bool], seconds: float = GUARD) -> None:
    """Wait for something that only asking again can tell."""
    pause = threading.Event()
    for _ in range(int(seconds / 0.05)):
        if condition():
            return
        pause.wait(0.05)
    raise AssertionError(f"not within {seconds} seconds: {condition}")


def wait_gone(processes: Sequence[psutil.Process], seconds: float = GUARD) -> None:
    """Wait until processes are gone."""
    _, alive = psutil.wait_procs(list(processes), timeout=seconds)
    assert not alive, alive


WAIT = """
def wait_at(gate):
    try:
        with open(gate) as pipe:
            pipe.read()
    except FileNotFoundError:
        pass  # it is open
"""

SERVER = """
import os
import threading
import numpy as np
from flwr.app import ArrayRecord, MetricRecord
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg

app = ServerApp()

@app.main()
def main(grid, context):
    print("the server prints")
    {before}
    result = FedAvg(min_available_nodes=2).start(
        grid=grid,
        initial_arrays=ArrayRecord([np.zeros(3, np.float32)]),
        num_rounds=context.run_config["num-server-rounds"],
        evaluate_fn=lambda number, arrays: MetricRecord({"accuracy": 0.5 + 0.1 * number}),
    )
    print("the model is", result.arrays.to_numpy_ndarrays()[0].tolist())
    {after}
"""

CLIENT = """
import os
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()

@app.train()
def train(msg, context):
    {train}
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
"""


def write_app(
    folder: Path,
    *,
    before: str = "pass",
    after: str = "pass",
    train: str = "pass",
    project: str = PROJECT,
) -> Path:
    """Write a tiny app whose model is three numbers, and its rounds add one.

    Parameters
    ----------
    folder : Path
        Where; made.
    before, after : str
        A statement of the server before and after its rounds. It has ``wait_at``, see `gate`.
    train : str
        A statement of a client before it trains. It has that, too.
    project : str
        Its ``pyproject.toml``.
    """
    package = folder / "tiny"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    server = SERVER.replace("{before}", before).replace("{after}", after)
    (package / "server_app.py").write_text(server + WAIT)
    (package / "client_app.py").write_text(CLIENT.replace("{train}", train) + WAIT)
    (folder / "pyproject.toml").write_text(project)
    return folder


@contextlib.contextmanager
def gate(path: Path) -> Iterator[Callable[[], None]]:
    """Make a named pipe that an app waits at with ``wait_at(path)``; yields what opens it."""
    os.mkfifo(path)
    writer = os.open(path, os.O_RDWR)  # so that opening it blocks nobody, and reading does
    is_open = True

    def open_gate() -> None:
        nonlocal is_open
        if is_open:
            is_open = False
            path.unlink()
            os.close(writer)

    try:
        yield open_gate
    finally:
        open_gate()
