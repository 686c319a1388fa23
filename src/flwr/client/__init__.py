"""The client half of the legacy API; new apps use `flwr.clientapp`."""

import importlib
from typing import TYPE_CHECKING, Any

from flwr.client import client as client
from flwr.client import client_app as client_app
from flwr.client import message_handler as message_handler
from flwr.client import mod
from flwr.client import numpy_client as numpy_client
from flwr.client import typing as typing
from flwr.clientapp import ClientApp
from flwr.compat.client import Client, NumPyClient
from flwr.compat.client.answer import ClientFn, ClientFnExt

if TYPE_CHECKING:
    from flwr.client.app import start_client, start_numpy_client

__all__ = [
    "Client",
    "ClientApp",
    "ClientFn",
    "ClientFnExt",
    "NumPyClient",
    "mod",
    "start_client",
    "start_numpy_client",
]


def __getattr__(name: str) -> Any:
    if name not in ("start_client", "start_numpy_client", "app"):
        raise AttributeError(f"module 'flwr.client' has no attribute {name!r}")
    app = importlib.import_module("flwr.client.app")  # loads the servers' half, too
    return app if name == "app" else getattr(app, name)
