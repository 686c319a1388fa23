"""Mods for legacy clients; `flwr.clientapp.mod` has those for other ClientApps."""

from flwr.client.mod.comms_mods import parameters_size_mod as parameters_size_mod
from flwr.clientapp.mod import arrays_size_mod, make_ffn, message_size_mod
from flwr.compat.client.mod import (
    LocalDpMod,
    adaptiveclipping_mod,
    fixedclipping_mod,
    secagg_mod,
    secaggplus_mod,
)

__all__ = [
    "LocalDpMod",
    "adaptiveclipping_mod",
    "arrays_size_mod",
    "fixedclipping_mod",
    "make_ffn",
    "message_size_mod",
    "secagg_mod",
    "secaggplus_mod",
]
