"""The path of `Grid`, and its name, before version 1.17."""

from flwr.server.grid import Driver

__all__ = ["Driver"]
