"""The legacy path of `start_client`."""

from flwr.compat.start import start_client, start_numpy_client

__all__ = ["start_client", "start_numpy_client"]
