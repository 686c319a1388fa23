"""Mods: what runs around a ClientApp's functions. One file each."""

from flwr.clientapp.mod.adaptiveclipping import adaptiveclipping_mod as adaptiveclipping_mod
from flwr.clientapp.mod.arrays_size import arrays_size_mod as arrays_size_mod
from flwr.clientapp.mod.chain import make_ffn as make_ffn
from flwr.clientapp.mod.fixedclipping import fixedclipping_mod as fixedclipping_mod
from flwr.clientapp.mod.localdp import LocalDpMod as LocalDpMod
from flwr.clientapp.mod.message_size import message_size_mod as message_size_mod

__all__ = [
    "LocalDpMod",
    "adaptiveclipping_mod",
    "arrays_size_mod",
    "fixedclipping_mod",
    "make_ffn",
    "message_size_mod",
]
