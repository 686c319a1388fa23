"""A hub of its own for a benchmark, and what it costs."""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from flwr.transport import control
from flwr.transport.client import Link


@dataclass(frozen=True)
class HubProcess:
    """A SuperLink on this machine, with a database.

    Attributes
    ----------
    app, fleet, control : str
        Where its APIs are.
    process : psutil.Process
        It.
    folder : Path
        For its files, and those of whoever works with it.
    environment : dict
        For processes that work with it.
    """

    app: str
    fleet: str
    control: str
    process: psutil.Process
    folder: Path
    environment: dict[str, str]


@contextlib.contextmanager
def hub_process(folder: Path | None, *options: str, level: str = "INFO") -> Iterator[HubProcess]:
    """Start a SuperLink, wait until it answers, and end it afterwards.

    Parameters
    ----------
    folder : Path or None
        On the disk that is to be measured; by default the one of temporary files.
    options : str
        Further arguments.
    level : str
        Of its log.
    """
    with tempfile.TemporaryDirectory(dir=folder) as made, Path(made, "hub.log").open("w") as log:
        app, fleet, commands = _free_addresses(3)
        environment = os.environ | {"FLWR_HOME": f"{made}/home"}
        command = [
            *(program("flower-superlink"), "--insecure"),
            f"--database={made}/state.db",
            f"--serverappio-api-address={app}",
            f"--fleet-api-address={fleet}",
            f"--control-api-address={commands}",
            *options,
        ]
        loud = environment | {"FLWR_LOG_LEVEL": level}
        with subprocess.Popen(command, env=loud, stdout=log, stderr=log) as started:
            try:
                with contextlib.closing(Link(commands, tls=None, patience=30.0)) as link:
                    link.call(control.RUNS, control.RunsQuestion())
                process = psutil.Process(started.pid)
                yield HubProcess(app, fleet, commands, process, Path(made), environment)
            finally:
                started.terminate()


def program(name: str) -> str:
    """Return the path of one of the package's commands."""
    return str(Path(sys.executable).with_name(name))


def cpu_seconds(*processes: psutil.Process) -> float:
    """Return the CPU time that processes and their living children have used."""
    total = 0.0
    for process in processes:
        for each in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = each.cpu_times()
                total += times.user + times.system
    return total


def _free_addresses(count: int) -> list[str]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
