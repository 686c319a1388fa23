"""The legacy path of `Criterion`."""

from flwr.compat.clients.criterion import Criterion

__all__ = ["Criterion"]
