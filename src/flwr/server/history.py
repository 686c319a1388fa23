"""The legacy path of `History`."""

from flwr.compat.server.history import History

__all__ = ["History"]
