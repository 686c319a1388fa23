"""The server's half of the legacy API."""

from flwr.compat.server.run import run_legacy as run_legacy
from flwr.compat.server.run import start_grid as start_grid

__all__ = ["run_legacy", "start_grid"]
