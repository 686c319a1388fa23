"""The legacy path of `Context`."""

from flwr.app import Context

__all__ = ["Context"]
