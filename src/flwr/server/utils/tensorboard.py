"""The legacy path of `tensorboard`."""

from flwr.compat.tensorboard import tensorboard

__all__ = ["tensorboard"]
