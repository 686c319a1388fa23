"""The legacy path of `ServerApp`."""

from flwr.serverapp import ServerApp

__all__ = ["ServerApp"]
