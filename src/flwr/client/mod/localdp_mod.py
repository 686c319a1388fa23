"""The legacy path of the mod of local differential privacy."""

from flwr.compat.client.mod import LocalDpMod

__all__ = ["LocalDpMod"]
