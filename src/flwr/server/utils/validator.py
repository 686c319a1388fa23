"""The legacy path of `validate_message`."""

from flwr.compat.validator import validate_message

__all__ = ["validate_message"]
