"""The legacy path of client managers."""

from flwr.compat.clients.client_manager import ClientManager, SimpleClientManager

__all__ = ["ClientManager", "SimpleClientManager"]
