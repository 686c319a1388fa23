"""The legacy path of `Grid`, which was called `Driver` before."""

from flwr.serverapp import Grid

Driver = Grid

__all__ = ["Driver", "Grid"]
