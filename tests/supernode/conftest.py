import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_hub import FakeHub, fake_hub
from node_apps import wait_until, write_app

from flwr.supernode.identity import identity_of
from flwr.supernode.loop import Node, NodeSettings
from flwr.transport.address import Address
from flwr.transport.client import Link


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    """Return a hub with run 1 of the tests' app."""
    with fake_hub() as made:
        made.add_run(1, write_app(tmp_path / "app"), rounds=3)
        yield made


class RunningNode:
    """A node in threads of this process."""

    def __init__(self, hub: FakeHub, folder: Path, **settings: Any) -> None:
        self.identity = identity_of(folder)
        link = Link(hub.address, tls=None, token=self.identity.secret)
        chosen = NodeSettings(folder.parent / "apps", **settings)
        self.node = Node(chosen, self.identity, link)
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.node.run()
        except BaseException as error:
            self.error = error

    def hosts_address(self) -> Address:
        """Return where hosts connect."""
        wait_until(lambda: self.node.hosts_address is not None)
        assert self.node.hosts_address is not None
        return self.node.hosts_address

    def wait(self) -> BaseException | None:
        """Wait for the node's end and return what ended it."""
        self._thread.join(60)
        assert not self._thread.is_alive()
        return self.error

    def stop(self) -> None:
        self.node.stop()
        self.wait()
        with contextlib.suppress(OSError), self.identity:
            pass


StartNode = Callable[..., RunningNode]


@pytest.fixture
def start_node(hub: FakeHub, tmp_path: Path) -> Iterator[StartNode]:
    """Start nodes for the hub, in the folder ``state`` unless told otherwise."""
    started: list[RunningNode] = []

    def start(folder: str = "state", **settings: Any) -> RunningNode:
        node = RunningNode(hub, tmp_path / folder, **settings)
        started.append(node)
        return node

    yield start
    for node in started:
        node.stop()
