"""The legacy path of `ServerAppComponents`."""

from flwr.compat.server.components import ServerAppComponents

__all__ = ["ServerAppComponents"]
