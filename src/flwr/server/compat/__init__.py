"""The legacy loop over a grid."""

from flwr.compat.server.legacy_context import LegacyContext as LegacyContext
from flwr.compat.server.run import start_driver as start_driver
from flwr.compat.server.run import start_grid as start_grid

__all__ = ["LegacyContext", "start_grid"]
