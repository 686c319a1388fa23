"""`Metadata`: from whom, to whom, about what, and until when."""

import logging
from typing import Final

from flwr import clock
from flwr.app.messagetype import check_message_type
from flwr.log import log

MESSAGE_TTL_TOLERANCE: Final = 0.1  # seconds by which a reply may outlive the message it answers

_FIELDS = (
    "run_id",
    "message_id",
    "src_node_id",
    "dst_node_id",
    "src_task_id",
    "dst_task_id",
    "reply_to_message_id",
    "group_id",
    "created_at",
    "ttl",
    "message_type",
    "delivered_at",
)


class Metadata:
    """What a message says of itself.

    The values are plain attributes under the private names (``_run_id``, ...), which transports
    and tests set directly.

    Parameters
    ----------
    run_id : int
        The run; 0 outside one.
    message_id : str
        Empty until the message is pushed.
    src_node_id, dst_node_id : int
        Sender and receiver.
    reply_to_message_id : str
        The message this one answers, or empty.
    group_id : str
        The group the message belongs to; strategies put the round here.
    created_at : float
        Unix seconds, UTC.
    ttl : float
        Seconds from `created_at` for which the message is valid.
    message_type : str
        ``<category>`` or ``<category>.<action>``.
    src_task_id, dst_task_id : int, optional
        Tasks of sender and receiver, if they have any.

    Raises
    ------
    ValueError
        The message type is malformed.
    """

    def __init__(
        self,
        run_id: int,
        message_id: str,
        src_node_id: int,
        dst_node_id: int,
        reply_to_message_id: str,
        group_id: str,
        created_at: float,
        ttl: float,
        message_type: str,
        src_task_id: int | None = None,
        dst_task_id: int | None = None,
    ) -> None:
        check_message_type(message_type)
        self._run_id = run_id
        self._message_id = message_id
        self._src_node_id = src_node_id
        self._dst_node_id = dst_node_id
        self._src_task_id = src_task_id
        self._dst_task_id = dst_task_id
        self._reply_to_message_id = reply_to_message_id
        self._group_id = group_id
        self._created_at = created_at
        self._ttl = ttl
        self._message_type = message_type
        self._delivered_at = ""

    def snapshot(self) -> "Metadata":
        """Return a copy that later changes of this one do not reach."""
        copied = Metadata.__new__(Metadata)
        copied.__dict__.update(self.__dict__)
        return copied

    def stamp(
        self,
        *,
        run_id: int,
        src_node_id: int,
        message_id: str,
        reply_to_message_id: str | None = None,
    ) -> None:
        """Set what only a grid or a link knows: it calls this when it sends a message."""
        self._run_id = run_id
        self._src_node_id = src_node_id
        self._message_id = message_id
        if reply_to_message_id is not None:
            self._reply_to_message_id = reply_to_message_id

    @property
    def run_id(self) -> int:
        """The run; 0 outside one."""
        return self._run_id

    @property
    def message_id(self) -> str:
        """Empty until the message is pushed."""
        return self._message_id

    @property
    def src_node_id(self) -> int:
        """The sender."""
        return self._src_node_id

    @property
    def reply_to_message_id(self) -> str:
        """The message this one answers, or empty."""
        return self._reply_to_message_id

    @property
    def dst_node_id(self) -> int:
        """The receiver."""
        return self._dst_node_id

    @dst_node_id.setter
    def dst_node_id(self, value: int) -> None:
        self._dst_node_id = value

    @property
    def src_task_id(self) -> int | None:
        """The sender's task, if it has one."""
        return self._src_task_id

    @src_task_id.setter
    def src_task_id(self, value: int | None) -> None:
        self._src_task_id = value

    @property
    def dst_task_id(self) -> int | None:
        """The receiver's task, if it has one."""
        return self._dst_task_id

    @dst_task_id.setter
    def dst_task_id(self, value: int | None) -> None:
        self._dst_task_id = value

    @property
    def group_id(self) -> str:
        """The group the message belongs to."""
        return self._group_id

    @group_id.setter
    def group_id(self, value: str) -> None:
        self._group_id = value

    @property
    def created_at(self) -> float:
        """When the message was made: Unix seconds, UTC."""
        return self._created_at

    @created_at.setter
    def created_at(self, value: float) -> None:
        self._created_at = value

    @property
    def delivered_at(self) -> str:
        """When the message was delivered; empty until then."""
        return self._delivered_at

    @delivered_at.setter
    def delivered_at(self, value: str) -> None:
        self._delivered_at = value

    @property
    def ttl(self) -> float:
        """Seconds from `created_at` for which the message is valid."""
        return self._ttl

    @ttl.setter
    def ttl(self, value: float) -> None:
        self._ttl = value

    @property
    def message_type(self) -> str:
        """``<category>`` or ``<category>.<action>``; checked when it is set."""
        return self._message_type

    @message_type.setter
    def message_type(self, value: str) -> None:
        check_message_type(value)
        self._message_type = value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Metadata):
            return NotImplemented
        return self.__dict__ == other.__dict__

    __hash__ = None  # type: ignore[assignment]  # it can change

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in _FIELDS)
        return f"Metadata({fields})"


def reply_metadata(asked: Metadata, ttl: float | None) -> Metadata:
    """Return the metadata of a reply, which is valid no longer than what it answers."""
    now = clock.unix_now()
    longest = asked._ttl - (now - asked._created_at)
    if not ttl:
        ttl = longest
    elif ttl - longest > MESSAGE_TTL_TOLERANCE:
        log(
            logging.WARNING,
            "The reply TTL of %.2f seconds exceeded the allowed maximum of %.2f seconds. The TTL "
            "has been updated to the allowed maximum.",
            ttl,
            longest,
        )
        ttl = longest
    return Metadata(
        asked._run_id,
        "",
        asked._dst_node_id,
        asked._src_node_id,
        asked._message_id,
        asked._group_id,
        now,
        ttl,
        asked._message_type,
        asked._dst_task_id,
        asked._src_task_id,
    )
