"""Client managers: which clients there are, and drawing from them."""

import random
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from logging import INFO

from flwr.compat.clients.client_proxy import ClientProxy
from flwr.compat.clients.criterion import Criterion
from flwr.log import log

_A_DAY = 86_400  # seconds


class ClientManager(ABC):
    """Knows the clients, and draws from them."""

    @abstractmethod
    def num_available(self) -> int:
        """Return how many clients there are."""

    @abstractmethod
    def register(self, client: ClientProxy) -> bool:
        """Add a client; return False if its ``cid`` is known already."""

    @abstractmethod
    def unregister(self, client: ClientProxy) -> None:
        """Remove a client; one that is not known is no error."""

    @abstractmethod
    def all(self) -> dict[str, ClientProxy]:
        """Return all clients by ``cid``."""

    @abstractmethod
    def wait_for(self, num_clients: int, timeout: int) -> bool:
        """Wait for so many clients, at most `timeout` seconds; return whether they are there."""

    @abstractmethod
    def sample(
        self,
        num_clients: int,
        min_num_clients: int | None = None,
        criterion: Criterion | None = None,
    ) -> list[ClientProxy]:
        """Draw clients without replacement.

        Parameters
        ----------
        num_clients : int
            How many.
        min_num_clients : int, optional
            Wait until so many are there; by default `num_clients`.
        criterion : Criterion, optional
            Draw only from those that it selects.

        Returns
        -------
        list of ClientProxy
            None at all if fewer than `num_clients` can be drawn.
        """


class SimpleClientManager(ClientManager):
    """Clients that register and unregister themselves; safe to use from several threads.

    Attributes
    ----------
    clients : dict
        The clients by ``cid``.
    await_nodes : Callable[[int], None] or None
        Waits for so many nodes and says so, while clients are the nodes of a grid.
    """

    await_nodes: Callable[[int], None] | None = None

    def __init__(self) -> None:
        self.clients: dict[str, ClientProxy] = {}
        self._changed = threading.Condition()

    def __len__(self) -> int:
        """Return how many clients there are."""
        return len(self.clients)

    def num_available(self) -> int:
        """Return how many clients there are."""
        return len(self)

    def wait_for(self, num_clients: int, timeout: int = _A_DAY) -> bool:
        """Wait until there are so many clients.

        Parameters
        ----------
        num_clients : int
            How many.
        timeout : int, default 86400
            The longest wait, in seconds.

        Returns
        -------
        bool
            Whether there are so many now.

        Raises
        ------
        NotEnoughNodesError
            If there will never be so many, as in a simulation of fewer.
        """
        if self.await_nodes is not None and timeout >= _A_DAY and len(self.clients) < num_clients:
            self.await_nodes(num_clients)
        with self._changed:
            return self._changed.wait_for(lambda: len(self.clients) >= num_clients, timeout)

    def register(self, client: ClientProxy) -> bool:
        """Add a client; return False if its ``cid`` is known already."""
        with self._changed:
            if client.cid in self.clients:
                return False
            self.clients[client.cid] = client
            self._changed.notify_all()
            return True

    def unregister(self, client: ClientProxy) -> None:
        """Remove a client; one that is not known is no error."""
        with self._changed:
            if self.clients.pop(client.cid, None) is not None:
                self._changed.notify_all()

    def all(self) -> dict[str, ClientProxy]:
        """Return all clients by ``cid``."""
        return self.clients

    def sample(
        self,
        num_clients: int,
        min_num_clients: int | None = None,
        criterion: Criterion | None = None,
    ) -> list[ClientProxy]:
        """Draw clients at random, with the global generator of ``random``; see `ClientManager`.

        Raises
        ------
        ValueError
            If `num_clients` is negative.
        """
        self.wait_for(num_clients if min_num_clients is None else min_num_clients)
        clients = self.clients
        names = list(clients)
        if criterion is not None:
            names = [name for name in names if criterion.select(clients[name])]
        if num_clients > len(names):
            log_too_few(len(names), num_clients)
            return []
        return [clients[name] for name in random.sample(names, num_clients)]


def log_too_few(available: int, wanted: int) -> None:
    """Say why nobody was drawn."""
    log(
        INFO,
        "Sampling failed: number of available clients (%s) is less than number of requested "
        "clients (%s).",
        available,
        wanted,
    )
