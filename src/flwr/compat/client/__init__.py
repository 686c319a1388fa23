"""Legacy clients inside a ClientApp."""

from flwr.compat.client.answer import answer_with as answer_with
from flwr.compat.client.client import Client as Client
from flwr.compat.client.numpy_client import NumPyClient as NumPyClient

__all__ = ["Client", "NumPyClient", "answer_with"]
