"""The legacy path of the mods of central differential privacy."""

from flwr.compat.client.mod import adaptiveclipping_mod, fixedclipping_mod

__all__ = ["adaptiveclipping_mod", "fixedclipping_mod"]
