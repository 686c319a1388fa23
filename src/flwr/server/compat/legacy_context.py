"""The legacy path of `LegacyContext`."""

from flwr.compat.server.legacy_context import LegacyContext

__all__ = ["LegacyContext"]
