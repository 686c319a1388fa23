"""The legacy path of `start_client`."""

from flwr._elsewhere import names_of
from flwr.compat.start import start_client, start_numpy_client

__getattr__ = names_of(__name__)

__all__ = ["start_client", "start_numpy_client"]
