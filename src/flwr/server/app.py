"""The legacy path of `start_server` and of what it takes."""

from flwr.compat.server.config import ServerConfig
from flwr.compat.server.server import init_defaults, run_fl

__all__ = ["ServerConfig", "init_defaults", "run_fl"]
