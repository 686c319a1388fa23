"""The legacy path of `array_from_numpy`."""

from flwr.compat.parameters import array_from_numpy

__all__ = ["array_from_numpy"]
