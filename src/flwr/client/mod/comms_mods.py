"""The legacy path of the mods that log sizes."""

from flwr.clientapp.mod import arrays_size_mod, message_size_mod
from flwr.clientapp.mod import arrays_size_mod as parameters_size_mod

__all__ = ["arrays_size_mod", "message_size_mod", "parameters_size_mod"]
