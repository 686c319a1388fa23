"""How large the arrays in messages are."""

import math
from logging import INFO

from flwr.app import ArrayRecord, Context, Message, memory
from flwr.clientapp.typing import ClientAppCallable
from flwr.log import log


def arrays_size_mod(msg: Message, ctxt: Context, call_next: ClientAppCallable) -> Message:
    """Log the number of values and bytes in each ArrayRecord, both ways.

    An error reply has no records, and no lines.

    Parameters
    ----------
    msg, ctxt, call_next
        As for every mod.
    """
    _log_sizes(msg, "Incoming", "received")
    reply = call_next(msg, ctxt)
    if reply.has_content():
        _log_sizes(reply, "Outgoing", "sent")
    return reply


def _log_sizes(message: Message, direction: str, verb: str) -> None:
    sizes = {
        name: {
            "elements": sum(math.prod(entry.shape) for entry in memory.layout_of(record).entries),
            "bytes": record.count_bytes(),
        }
        for name, record in message.content.items()
        if isinstance(record, ArrayRecord)
    }
    if sizes:
        log(INFO, "%s `ArrayRecord` size statistics:", direction)
        log(INFO, "%s", sizes)
    total = sum(size["bytes"] for size in sizes.values())
    log(INFO, "Total array elements %s: %i bytes", verb, total)
