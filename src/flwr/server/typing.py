"""The types of a ServerApp's parts."""

from flwr.compat.server.types import ServerAppCallable, ServerFn, Workflow

__all__ = ["ServerAppCallable", "ServerFn", "Workflow"]
