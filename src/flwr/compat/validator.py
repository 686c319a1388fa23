"""Checking a message before it is sent, as legacy code does it."""

from flwr.app import Message
from flwr.clock import unix_now
from flwr.runtime.runinfo import SUPERLINK_NODE_ID

_EARLIEST = 1_740_700_800.0  # 2025-02-28: what is older was not made by a clock that is right

_CREATED = (
    "`metadata.created_at` must be a float that records the unix timestamp in seconds when the "
    "message was created."
)
_EITHER = "Either message `content` or `error` MUST be set (but not both)"


def validate_message(message: Message, is_reply_message: bool) -> list[str]:
    """Return what is wrong with a message that is about to be sent.

    Parameters
    ----------
    message : Message
        The message.
    is_reply_message : bool
        Whether it goes from a node to the server.

    Returns
    -------
    list of str
        One text a problem; empty if all is well.
    """
    metadata = message.metadata
    node, hub = ("src_node_id", "dst_node_id")
    if not is_reply_message:
        node, hub = hub, node
    hub_is = f"{SUPERLINK_NODE_ID} (SuperLink node ID)"
    checks = {
        "non-empty `metadata.message_id`": metadata.message_id == "",
        _CREATED: metadata.created_at > _EARLIEST,
        "`metadata.delivered_at` must be an empty str": metadata.delivered_at == "",
        "`metadata.ttl` must be higher than zero": metadata.ttl > 0,
        "Message TTL has expired": metadata.created_at + metadata.ttl > unix_now(),
        "`metadata.src_node_id` is not set.": metadata.src_node_id != 0,
        "`metadata.dst_node_id` is not set.": metadata.dst_node_id != 0,
        _EITHER: message.has_content() != message.has_error(),
        f"`metadata.reply_to_message_id` MUST {'' if is_reply_message else 'not '}be set.": (
            (metadata.reply_to_message_id != "") == is_reply_message
        ),
        f"`metadata.{hub}` is not {hub_is}": getattr(metadata, hub) == SUPERLINK_NODE_ID,
        f"`metadata.{node}` is {hub_is}": getattr(metadata, node) != SUPERLINK_NODE_ID,
    }
    return [text for text, is_well in checks.items() if not is_well]
