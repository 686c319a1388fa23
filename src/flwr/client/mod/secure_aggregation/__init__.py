"""The mods of secure aggregation."""

from flwr.compat.client.mod import secagg_mod, secaggplus_mod

__all__ = ["secagg_mod", "secaggplus_mod"]
