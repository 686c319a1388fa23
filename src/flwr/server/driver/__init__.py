"""The path of `Grid`, and its name, before version 1.17."""

from flwr._elsewhere import names_of
from flwr.server.grid import Driver

__getattr__ = names_of(__name__)

__all__ = ["Driver"]
