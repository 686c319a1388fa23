"""The legacy path of `NumPyClient`."""

from flwr.compat.client.numpy_client import (
    NumPyClient,
    has_evaluate,
    has_fit,
    has_get_parameters,
    has_get_properties,
)

__all__ = [
    "NumPyClient",
    "has_evaluate",
    "has_fit",
    "has_get_parameters",
    "has_get_properties",
]
