"""The legacy path of `secaggplus_mod`."""

from flwr.compat.client.mod import secaggplus_mod

__all__ = ["secaggplus_mod"]
