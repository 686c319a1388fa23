"""The legacy path of functions that answer messages."""

from flwr.compat.client.message_handler import (
    handle_control_message,
    handle_legacy_message_from_msgtype,
)

__all__ = ["handle_control_message", "handle_legacy_message_from_msgtype"]
