"""The legacy path of `ServerConfig`."""

from flwr.compat.server.config import ServerConfig

__all__ = ["ServerConfig"]
