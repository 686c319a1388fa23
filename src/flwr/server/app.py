"""The legacy path of `start_server` and of what it takes."""

from flwr._elsewhere import names_of
from flwr.compat.server.config import ServerConfig
from flwr.compat.server.server import init_defaults, run_fl
from flwr.compat.start import start_server

__getattr__ = names_of(__name__)

__all__ = ["ServerConfig", "init_defaults", "run_fl", "start_server"]
