"""How large messages are."""

from logging import INFO

from flwr.app import Context, Message
from flwr.clientapp.typing import ClientAppCallable
from flwr.log import log


def message_size_mod(msg: Message, ctxt: Context, call_next: ClientAppCallable) -> Message:
    """Log the size of the records in each message, both ways.

    An error reply has no records, and no line.

    Parameters
    ----------
    msg, ctxt, call_next
        As for every mod.
    """
    log(INFO, "Incoming message size: %i bytes", _size(msg))
    reply = call_next(msg, ctxt)
    if reply.has_content():
        log(INFO, "Outgoing message size: %i bytes", _size(reply))
    return reply


def _size(message: Message) -> int:
    return sum(record.count_bytes() for record in message.content.values())
