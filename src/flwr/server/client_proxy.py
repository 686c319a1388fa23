"""The legacy path of `ClientProxy`."""

from flwr.compat.clients.client_proxy import ClientProxy

__all__ = ["ClientProxy"]
