"""The legacy path of `secagg_mod`."""

from flwr.compat.client.mod import secagg_mod

__all__ = ["secagg_mod"]
