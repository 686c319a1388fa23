"""The client half of the legacy API; new apps use `flwr.clientapp`."""

from flwr.client import client as client
from flwr.client import client_app as client_app
from flwr.client import message_handler as message_handler
from flwr.client import mod
from flwr.client import numpy_client as numpy_client
from flwr.client import typing as typing
from flwr.clientapp import ClientApp
from flwr.compat.client import Client, NumPyClient
from flwr.compat.client.answer import ClientFn, ClientFnExt

__all__ = [
    "Client",
    "ClientApp",
    "ClientFn",
    "ClientFnExt",
    "NumPyClient",
    "mod",
]
