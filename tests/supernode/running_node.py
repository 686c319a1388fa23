"""A node in threads of the test's process."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fake_hub import FakeHub
from node_apps import wait_until

from flwr.supernode.identity import identity_of
from flwr.supernode.loop import Node, NodeSettings
from flwr.transport.address import Address
from flwr.transport.client import Link


class RunningNode:
    """A node in threads of this process."""

    def __init__(self, hub: FakeHub, folder: Path, **settings: Any) -> None:
        self.identity = identity_of(folder)
        link = Link(hub.address, tls=None, token=self.identity.secret)
        chosen = NodeSettings(folder.parent / "apps", **settings)
        self.node = Node(chosen, self.identity, link)
        self.error: BaseException | None = None
        self._stopped = False
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
        if not self._stopped:
            self._stopped = True
            self.identity.__exit__(None, None, None)


StartNode = Callable[..., RunningNode]
