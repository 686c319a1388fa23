"""A real hub in a thread of this process; nodes, app processes and commands are plain links."""

import asyncio
import threading
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flwr.runtime.fabbuild import build
from flwr.store.hub import HubStore
from flwr.superlink.serve import Superlink
from flwr.superlink.settings import Isolation, Port, Service, Settings
from flwr.transport import appio, control, fleet
from flwr.transport.address import Address
from flwr.transport.client import Link
from flwr.transport.parts import Body, Nothing, Part, RunQuestion

PROJECT = """
[project]
name = "tiny"
version = "1.0.0"
[tool.flwr.app]
publisher = "tester"
[tool.flwr.app.components]
serverapp = "app:app"
clientapp = "app:app"
[tool.flwr.app.config]
rate = 0.1
"""


def body(text: str) -> Body:
    """Return a content without any object."""
    return Body([Part(data=text.encode())])


def text_of(content: Body | None) -> str:
    """Return what `body` was made of."""
    assert content is not None
    return content.parts[0].data.decode()


class HubHere:
    """A hub whose app processes are started from outside: by the test.

    Parameters
    ----------
    folder : Path
        For its files, and the app.
    database : bool
        Keep a database in the folder.
    """

    def __init__(self, folder: Path, *, database: bool = False, simulation: bool = False) -> None:
        self.folder = folder
        self.database = folder / "state.db" if database else None
        self.simulation = simulation
        self.ports = [0, 0, 0]
        self._links: list[Link] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.start()

    def start(self) -> None:
        """Start, at the same ports as before."""
        settings = Settings(
            ports=tuple(
                Port(Address("127.0.0.1", port), (service,))
                for service, port in zip(Service, self.ports, strict=True)
            ),
            state_dir=self.folder / "state",
            database=self.database,
            isolation=Isolation.PROCESS,
            simulation=self.simulation,
        )
        self.store = HubStore.open(self.database)
        self.superlink: Superlink = self.do(Superlink.start(settings, self.store))
        self.ports = [address.port for address in self.superlink.addresses]

    def stop(self) -> None:
        """End as SIGTERM does."""
        self.do(self.superlink.close())
        self.store.close()

    def close(self) -> None:
        """End for good."""
        for link in self._links:
            link.close()
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def do(self, work: Any) -> Any:
        """Run a coroutine in the hub's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def link(self, service: Service, token: str = "") -> Link:
        """Return a link to one of its services."""
        port = self.ports[list(Service).index(service)]
        link = Link(f"127.0.0.1:{port}", tls=None, token=token, patience=10.0)
        self._links.append(link)
        return link

    @property
    def commands(self) -> Link:
        """A command's link."""
        return self.link(Service.CONTROL)

    def fab(self) -> bytes:
        """Return an app."""
        folder = self.folder / "app"
        folder.mkdir(exist_ok=True)
        (folder / "pyproject.toml").write_text(PROJECT)
        (folder / "app.py").write_text("app = None\n")
        return build(folder).content

    def submit(self, run_id: int = 1, **settings: Any) -> control.Run:
        """Start a run."""
        start = control.StartRun(run_id, self.fab(), **settings)
        return self.commands.call(control.START_RUN, start)

    def run(self, run_id: int = 1) -> control.Run:
        """Return a run as commands see it."""
        (run,) = self.commands.call(control.RUNS, control.RunsQuestion(run_id)).runs
        return run

    def stop_run(self, run_id: int) -> control.Run:
        """Stop a run, as a command does."""
        return self.commands.call(control.STOP_RUN, RunQuestion(run_id))

    def log(self, run_id: int = 1) -> str:
        """Return what a run printed."""
        part = self.commands.call(control.LOG, control.Follow(run_id, wait=0.0))
        return "".join(entry.text for entry in part.entries)

    def launcher(self) -> "Launcher":
        """Return a new launcher."""
        return Launcher(self)

    def app(self, run_id: int = 1) -> "App":
        """Start a run, and be its app process."""
        self.submit(run_id)
        return self.launcher().launched()

    def node(self, secret: str = "secret", **settings: Any) -> "Node":
        """Connect a node."""
        return Node(self, secret, **settings)


class Launcher:
    """What ``flower-superexec`` is to the hub."""

    def __init__(self, hub: HubHere) -> None:
        self.hub = hub
        self.link = hub.link(Service.APP)
        self.instance = uuid.uuid4().hex
        self.holding: list[appio.Launched] = []

    def ask(self, *ended: appio.Ended, capacity: int = 1, wait: float = 5.0) -> appio.Launches:
        """Tell what has ended, and wait for what to start."""
        over = [(each.run_id, each.attempt) for each in ended]
        self.holding = [h for h in self.holding if (h.run_id, h.attempt) not in over]
        request = appio.Launching(
            self.instance, list(ended), self.holding, capacity, ("serverapp", "simulation"), wait
        )
        answer = self.link.call(appio.LAUNCH, request, wait=wait)
        self.holding += [appio.Launched(each.run_id, each.attempt) for each in answer.start]
        return answer

    def launched(self, *ended: appio.Ended) -> "App":
        """Wait for a process to start, and be it."""
        (launch,) = self.ask(*ended).start
        return App(self.hub, launch)


class App:
    """An app process."""

    def __init__(self, hub: HubHere, launch: appio.Launch) -> None:
        self.launch = launch
        self.link = hub.link(Service.APP, launch.token)
        self.inputs = self.link.call(appio.INPUTS, Nothing())

    def push(self, node_id: int, *ids: str, text: str = "do", ttl: float = 60.0) -> appio.Pushed:
        """Send messages with the same content to a node."""
        messages = [appio.Message(id_, node_id, "train", ttl=ttl) for id_ in ids]
        return self.link.call(appio.PUSH, appio.Push(messages, [body(text)]))

    def collect(self, after: int = 0, atleast: int = 1, wait: float = 5.0) -> list[appio.Answer]:
        """Wait for replies."""
        request = appio.Collect(after, atleast, wait=wait)
        return self.link.call(appio.COLLECT, request, wait=wait).replies

    def finish(self, outcome: str = "completed", **settings: Any) -> None:
        """End the run."""
        self.link.call(appio.FINISH, appio.Finish(outcome, **settings))

    def report(self, seq: int, text: str) -> bool:
        """Tell what was printed; return whether to stop."""
        return self.link.call(appio.REPORT, appio.Report(seq, text=text)).stop


class Node:
    """A node's process."""

    def __init__(self, hub: HubHere, secret: str, instance: str = "a", **settings: Any) -> None:
        self.link = hub.link(Service.FLEET, secret)
        welcome = self.link.call(fleet.HELLO, fleet.Hello(instance, **settings))
        self.id, self.epoch = welcome.node_id, welcome.epoch

    def exchange(
        self,
        *done: fleet.Reply,
        holding: Sequence[str] = (),
        runs: Sequence[int] = (),
        capacity: int = 1,
        wait: float = 5.0,
    ) -> fleet.Exchanged:
        """Bring replies, and wait for work."""
        request = fleet.Exchange(self.epoch, list(done), list(holding), list(runs), capacity, wait)
        return self.link.call(fleet.EXCHANGE, request, wait=wait)

    def bring(self, *done: fleet.Reply, holding: Sequence[str] = ()) -> fleet.Exchanged:
        """Bring replies, and take nothing."""
        return self.exchange(*done, holding=holding, capacity=0, wait=0.0)


def reply(message_id: str, text: str = "done", run_id: int = 1) -> fleet.Reply:
    """Return a node's reply."""
    return fleet.Reply(message_id, run_id, body=body(text))


def question(run_id: int) -> RunQuestion:
    """Return which run."""
    return RunQuestion(run_id)
