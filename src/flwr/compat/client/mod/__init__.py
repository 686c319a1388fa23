"""Mods for legacy clients: what they do to the records of `FitIns` and `FitRes`."""

from flwr.compat.client.mod.adaptiveclipping import adaptiveclipping_mod as adaptiveclipping_mod
from flwr.compat.client.mod.fixedclipping import fixedclipping_mod as fixedclipping_mod
from flwr.compat.client.mod.localdp import LocalDpMod as LocalDpMod
from flwr.compat.client.mod.secagg import secagg_mod as secagg_mod
from flwr.compat.client.mod.secagg import secaggplus_mod as secaggplus_mod

__all__ = [
    "LocalDpMod",
    "adaptiveclipping_mod",
    "fixedclipping_mod",
    "secagg_mod",
    "secaggplus_mod",
]
