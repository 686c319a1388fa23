"""`Criterion`: which clients may be drawn."""

from abc import ABC, abstractmethod

from flwr.compat.clients.client_proxy import ClientProxy


class Criterion(ABC):
    """Decides whether a client may be drawn."""

    @abstractmethod
    def select(self, client: ClientProxy) -> bool:
        """Return whether this client may be drawn."""
