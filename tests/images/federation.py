"""A hub and nodes in containers, on the host's network, and ``flwr`` beside them."""

import contextlib
import json
import os
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from containers import DIGITS, GUARD, REPOSITORY, USER, Container, Ended, Engine, call

ROUNDS = 3


class Federation:
    """Containers of one test, the ports they use, and a user's ``flwr``."""

    def __init__(self, engine: Engine, folder: Path, digits_image: Callable[[str], str]) -> None:
        self.engine = engine
        self.folder = folder
        self.state = folder / "state"
        self._digits_image = digits_image
        self._started: list[Container] = []
        self.app_port, self.fleet_port, self.control_port, *self.node_ports = free_ports(5)
        home = folder / "home"
        home.mkdir()
        (home / "config.toml").write_text(
            f"[superlink.hub]\naddress = '127.0.0.1:{self.control_port}'\ninsecure = true\n"
        )
        self._environment = {**os.environ, "FLWR_HOME": str(home)}

    def make_state(self, owner: int = USER) -> None:
        """Do as the page says: mkdir state && sudo chown -R 49999:49999 state."""
        self.state.mkdir()
        os.chown(self.state, owner, owner)

    def start(self, image: str, *command: str, options: tuple[str, ...] = ()) -> Container:
        """Start a container; it is removed at the end of the test."""
        container = Container(self.engine, image, options, command)
        self._started.append(container)
        return container

    def image(self, name: str, *, digits: bool) -> str:
        """Return one of the images, with the libraries of the digits app if asked for."""
        return self._digits_image(name) if digits else f"{REPOSITORY}/{name}:latest"

    def hub(
        self, *command: str, options: tuple[str, ...] = (), state: bool = True, digits: bool = True
    ) -> Container:
        """Start a hub, by default with the state folder mounted, and wait until it is well."""
        mount = ("--volume", f"{self.state}/:/app/state") if state else ()
        hub = self.start(
            self.image("superlink", digits=digits),
            "--insecure",
            f"--serverappio-api-address=127.0.0.1:{self.app_port}",
            f"--fleet-api-address=127.0.0.1:{self.fleet_port}",
            f"--control-api-address=127.0.0.1:{self.control_port}",
            *command,
            options=(*mount, *options),
        )
        self.until(hub.is_healthy, hub)
        return hub

    def node(
        self, index: int, *command: str, options: tuple[str, ...] = (), digits: bool = True
    ) -> Container:
        """Start one of two nodes."""
        return self.start(
            self.image("supernode", digits=digits),
            "--insecure",
            f"--superlink=127.0.0.1:{self.fleet_port}",
            f"--node-config=partition-id={index} num-partitions=2",
            *command,
            options=options,
        )

    def flwr(self, *words: str | Path) -> Ended:
        """Run a ``flwr`` command on the host."""
        return call(Path(sys.executable).with_name("flwr"), *words, environment=self._environment)

    def flwr_json(self, *words: str | Path) -> dict[str, Any]:
        """Run a ``flwr`` command that succeeds, and return its JSON."""
        ended = self.flwr(*words, "--format", "json")
        assert ended.code == 0, ended.output
        answer = json.loads(ended.out)
        assert isinstance(answer, dict)
        return answer

    def submit(self, rounds: int = ROUNDS) -> str:
        """Submit the digits app; return the run's id."""
        config = f"num-server-rounds={rounds}"
        return str(self.flwr_json("run", DIGITS, "hub", "--run-config", config)["run-id"])

    def status(self, run_id: str) -> str:
        """Return the status of a run that is listed."""
        return {str(run["run-id"]): str(run["status"]) for run in self.runs()}[run_id]

    def runs(self) -> list[dict[str, Any]]:
        """Return what ``flwr ls`` lists."""
        runs = self.flwr_json("ls", "hub")["runs"]
        assert isinstance(runs, list)
        return runs

    def events(self, run_id: str) -> str:
        """Return what a run has logged until now."""
        return self.flwr("log", run_id, "hub", "--show").output

    def finish(self, run_id: str, *watched: Container) -> None:
        """Wait until a run has completed."""
        log = self.flwr("log", run_id, "hub")
        printed = "\n".join(container.output for container in watched)
        assert self.status(run_id) == "finished:completed", f"{log.output}\n{printed}"

    def until(self, condition: Callable[[], bool], *watched: Container) -> None:
        """Wait for something that only asking again can tell."""
        pause = threading.Event()
        for _ in range(int(GUARD / 0.2)):
            if condition():
                return
            if any(container.state["Status"] == "exited" for container in watched):
                break
            pause.wait(0.2)
        raise AssertionError("\n".join(container.output for container in watched))

    def close(self) -> None:
        """Remove all containers."""
        for container in reversed(self._started):
            container.remove()


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens at."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
