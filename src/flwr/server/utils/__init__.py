"""Helpers of servers."""

from flwr.server.utils.tensorboard import tensorboard  # the function hides its module
from flwr.server.utils.validator import validate_message

__all__ = ["tensorboard", "validate_message"]
