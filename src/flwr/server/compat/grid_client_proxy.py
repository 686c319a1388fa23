"""The legacy path of a grid's clients."""

from flwr.compat.clients.grid_clients import GridClientProxy

__all__ = ["GridClientProxy"]
