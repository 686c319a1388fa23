"""Mods: what runs around a ClientApp's functions. One file each."""

from flwr.clientapp.mod.chain import make_ffn as make_ffn

__all__ = ["make_ffn"]
