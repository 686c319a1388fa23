"""The legacy path of `Grid`, which was called `Driver` before."""

from flwr._elsewhere import names_of
from flwr.serverapp import Grid

Driver = Grid

__getattr__ = names_of(__name__)

__all__ = ["Driver", "Grid"]
