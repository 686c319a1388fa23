"""Answering messages outside a ClientApp, as legacy code does it."""

from typing import cast

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.compat.client.answer import ClientFnExt, as_client, handle_legacy_message

_ACKNOWLEDGED = 1  # the reason of a client that leaves because it was told to


def handle_control_message(message: Message) -> tuple[Message | None, int]:
    """Answer a message that tells a client to leave.

    Parameters
    ----------
    message : Message
        Of type ``reconnect``, with ``seconds`` in the record ``config``; or any other.

    Returns
    -------
    tuple[Message or None, int]
        The reply and after how many seconds the client comes back, 0 for never; None and 0 for a
        message of another type.
    """
    if message.metadata.message_type != "reconnect":
        return None, 0
    config = message.content.config_records["config"]
    content = RecordDict({"config": ConfigRecord({"reason": _ACKNOWLEDGED})})
    return Message(content, reply_to=message), cast("int", config["seconds"])


def handle_legacy_message_from_msgtype(
    client_fn: ClientFnExt, message: Message, context: Context
) -> Message:
    """Answer a message with the client that a function makes of a context.

    Raises
    ------
    ValueError
        If the message is of a type that legacy clients do not know.
    TypeError
        If the function makes no client, or the client returns something else than documented.
    """
    return handle_legacy_message(as_client(client_fn(context), client_fn), message, context)
