"""The legacy path of `ClientApp`."""

from flwr.clientapp import ClientApp

__all__ = ["ClientApp"]
