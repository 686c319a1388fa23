"""The legacy path of running a ServerApp on a grid."""

from flwr.compat.server.run import run_server_app as run

__all__ = ["run"]
