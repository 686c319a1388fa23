"""The server's half of an app: ``ServerApp``, ``Grid`` and the strategies."""

from flwr.serverapp import strategy as strategy
from flwr.serverapp.artifacts import artifacts_dir as artifacts_dir
from flwr.serverapp.grid import Grid as Grid
from flwr.serverapp.serverapp import ServerApp as ServerApp

__all__ = ["Grid", "ServerApp", "artifacts_dir", "strategy"]
