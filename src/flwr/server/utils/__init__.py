"""Helpers of servers."""

from flwr.compat.tensorboard import tensorboard
from flwr.compat.validator import validate_message

__all__ = ["tensorboard", "validate_message"]
