"""The legacy path of messages."""

from flwr.app import DEFAULT_TTL, Error, Message, MessageType, Metadata
from flwr.app.message import MessageInitializationError
from flwr.app.messagetype import MessageTypeLegacy
from flwr.compat.constants import MESSAGE_TTL_TOLERANCE

__all__ = [
    "DEFAULT_TTL",
    "MESSAGE_TTL_TOLERANCE",
    "Error",
    "Message",
    "MessageInitializationError",
    "MessageType",
    "MessageTypeLegacy",
    "Metadata",
]
