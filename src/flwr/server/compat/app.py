"""The legacy path of `start_grid`."""

from flwr.compat.server.run import start_driver, start_grid

__all__ = ["start_driver", "start_grid"]
