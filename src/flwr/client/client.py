"""The legacy path of `Client`, and of helpers that ask one."""

from flwr.compat.client.client import (
    Client,
    has_evaluate,
    has_fit,
    has_get_parameters,
    has_get_properties,
    maybe_call_evaluate,
    maybe_call_fit,
    maybe_call_get_parameters,
    maybe_call_get_properties,
)

__all__ = [
    "Client",
    "has_evaluate",
    "has_fit",
    "has_get_parameters",
    "has_get_properties",
    "maybe_call_evaluate",
    "maybe_call_fit",
    "maybe_call_get_parameters",
    "maybe_call_get_properties",
]
