"""The types of what clients are made of."""

from flwr.clientapp.typing import ClientAppCallable, Mod
from flwr.compat.client.answer import ClientFn, ClientFnExt

__all__ = [
    "ClientAppCallable",
    "ClientFn",
    "ClientFnExt",
    "Mod",
]
