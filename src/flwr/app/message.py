"""`Message`: one instruction to a node, or its reply."""

from typing import Any, Final, overload

import numpy as np

from flwr import clock
from flwr.app.error import Error
from flwr.app.metadata import Metadata, reply_metadata
from flwr.app.recorddict import RecordDict
from flwr.log import warn_deprecated_feature

DEFAULT_TTL: Final = 43200
"""Seconds for which a message is valid if nothing else is said: twelve hours."""

_said: set[str] = set()  # deprecated methods that were pointed out in this process


class MessageInitializationError(TypeError):
    """The arguments make no message."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(
            message
            or "Invalid arguments for Message. Expected one of the documented signatures: "
            "Message(content: RecordDict, dst_node_id: int, message_type: str, *, "
            "ttl: float | None = None, group_id: str | None = None) or "
            "Message(content: RecordDict | error: Error, *, reply_to: Message, "
            "ttl: float | None = None)."
        )


class Message:
    """One instruction to a node, or its reply: metadata with a content or an error.

    Parameters
    ----------
    content : RecordDict
        The records, kept as they are. A reply may take an `Error` in its place.
    dst_node_id : int
        Of an instruction: the node.
    message_type : str
        Of an instruction: ``<category>`` or ``<category>.<action>``.
    ttl : float, optional
        Seconds for which the message is valid; None or 0: `DEFAULT_TTL`, or for a reply what is
        left of the message it answers. A reply's is cut to that.
    group_id : str, optional
        Of an instruction: the group it belongs to.
    dst_task_id : int, optional
        Of an instruction: the receiver's task.
    reply_to : Message, optional
        Makes a reply to this message.
    error : Error, optional
        Of a reply: why there is no content.
    metadata : Metadata, optional
        With `content` or `error` only: a message as it came.

    Raises
    ------
    MessageInitializationError
        A `TypeError`: the arguments are none of the above forms.
    ValueError
        The message type is malformed.

    Examples
    --------
    >>> message = Message(RecordDict(), 7, "train")
    >>> reply = Message(RecordDict(), reply_to=message)
    >>> reply.metadata.src_node_id
    7
    """

    @overload
    def __init__(
        self,
        content: RecordDict,
        dst_node_id: int,
        message_type: str,
        *,
        ttl: float | None = None,
        group_id: str | None = None,
        dst_task_id: int | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self, content: RecordDict, *, reply_to: "Message", ttl: float | None = None
    ) -> None: ...
    @overload
    def __init__(self, error: Error, *, reply_to: "Message", ttl: float | None = None) -> None: ...
    @overload
    def __init__(self, *, metadata: Metadata, content: RecordDict) -> None: ...
    @overload
    def __init__(self, *, metadata: Metadata, error: Error) -> None: ...

    def __init__(
        self,
        *args: Any,
        dst_node_id: int | None = None,
        message_type: str | None = None,
        content: RecordDict | None = None,
        error: Error | None = None,
        ttl: float | None = None,
        group_id: str | None = None,
        dst_task_id: int | None = None,
        reply_to: "Message | None" = None,
        metadata: Metadata | None = None,
    ) -> None:
        if args:
            content, error, dst_node_id, message_type = _bound(
                args, content, error, dst_node_id, message_type
            )
        _check_body(content, error)
        self._content = content
        self._error = error
        self._metadata: Metadata
        if metadata is not None:
            others = (dst_node_id, message_type, ttl, group_id, dst_task_id, reply_to)
            self._metadata = _checked_metadata(metadata, args, others)
        elif reply_to is not None:
            if dst_node_id is not None or message_type is not None:
                raise MessageInitializationError
            if group_id is not None or dst_task_id is not None or not isinstance(reply_to, Message):
                raise MessageInitializationError
            self._metadata = reply_metadata(reply_to._metadata, _number(ttl))
        elif error is not None:
            raise MessageInitializationError
        else:
            self._metadata = _instruction_metadata(
                dst_node_id, message_type, _number(ttl), group_id, dst_task_id
            )

    @property
    def metadata(self) -> Metadata:
        """From whom, to whom, about what, and until when."""
        return self._metadata

    @property
    def content(self) -> RecordDict:
        """The records. Reading it on an error reply, or setting it there: `ValueError`."""
        if self._content is None:
            raise ValueError(
                "Message content is None. Use <message>.has_content() to check if a message has "
                "content."
            )
        return self._content

    @content.setter
    def content(self, value: RecordDict) -> None:
        if self._error is not None:
            raise ValueError("A message with an error set cannot have content.")
        if not isinstance(value, RecordDict):
            raise TypeError(
                f"The content of a message is a `RecordDict`, not a `{type(value).__name__}`."
            )
        self._content = value

    @property
    def error(self) -> Error:
        """Why there is no content. Reading it on a good message, or setting it: `ValueError`."""
        if self._error is None:
            raise ValueError(
                "Message error is None. Use <message>.has_error() to check first if a message "
                "carries an error."
            )
        return self._error

    @error.setter
    def error(self, value: Error) -> None:
        if self._content is not None:
            raise ValueError("A message with content set cannot carry an error.")
        if not isinstance(value, Error):
            raise TypeError(
                f"The error of a message is an `Error`, not a `{type(value).__name__}`."
            )
        self._error = value

    def has_content(self) -> bool:
        """Whether the message has a content."""
        return self._content is not None

    def has_error(self) -> bool:
        """Whether the message carries an error instead."""
        return self._error is not None

    def create_reply(self, content: RecordDict, ttl: float | None = None) -> "Message":
        """Reply. Deprecated: use ``Message(content, reply_to=message, ttl=...)``."""
        _say_deprecated("create_reply", "content")
        return Message(content, reply_to=self, ttl=ttl)

    def create_error_reply(self, error: Error, ttl: float | None = None) -> "Message":
        """Reply. Deprecated: use ``Message(error, reply_to=message, ttl=...)``."""
        _say_deprecated("create_error_reply", "error")
        return Message(error, reply_to=self, ttl=ttl)

    def __repr__(self) -> str:
        body = f"content={self._content!r}" if self._error is None else f"error={self._error!r}"
        return f"Message(metadata={self._metadata!r}, {body})"


def _bound(
    args: tuple[Any, ...], content: Any, error: Any, dst_node_id: Any, message_type: Any
) -> tuple[Any, Any, Any, Any]:
    """Put positional arguments under their names; none may be given twice."""
    if len(args) > 3:
        raise MessageInitializationError
    if isinstance(args[0], Error):
        error = _once(error, args[0])
    else:
        content = _once(content, args[0])
    if len(args) > 1:
        dst_node_id = _once(dst_node_id, args[1])
    if len(args) > 2:
        message_type = _once(message_type, args[2])
    return content, error, dst_node_id, message_type


def _once(keyword: Any, positional: Any) -> Any:
    if keyword is not None:
        raise MessageInitializationError
    return positional


def _check_body(content: object, error: object) -> None:
    """Accept a content or an error, not both."""
    if error is None:
        if not isinstance(content, RecordDict):
            raise MessageInitializationError
    elif content is not None or not isinstance(error, Error):
        raise MessageInitializationError


def _number(ttl: Any) -> float | None:
    """Return a time to live as it was given, or numpy's as Python's."""
    if ttl is None or type(ttl) is float or type(ttl) is int:
        return ttl
    if isinstance(ttl, int | float | np.integer | np.floating):
        return float(ttl)
    raise MessageInitializationError


def _checked_metadata(
    metadata: object, args: tuple[Any, ...], others: tuple[object, ...]
) -> Metadata:
    """Return the metadata of a message as it came, if nothing else speaks for itself."""
    if any(other is not None for other in others):
        raise MessageInitializationError(
            "Invalid arguments for Message. Expected only `metadata` to be set when creating a "
            "message with provided metadata."
        )
    if args or not isinstance(metadata, Metadata):
        raise MessageInitializationError
    return metadata


def _instruction_metadata(
    dst_node_id: Any, message_type: Any, ttl: float | None, group_id: Any, dst_task_id: int | None
) -> Metadata:
    """Return the metadata of a fresh instruction, which the grid stamps when it is pushed."""
    if not isinstance(dst_node_id, int):
        if not isinstance(dst_node_id, np.integer):
            raise MessageInitializationError
        dst_node_id = int(dst_node_id)
    if not isinstance(message_type, str) or not isinstance(group_id, str | None):
        raise MessageInitializationError
    return Metadata(
        0,
        "",
        0,
        dst_node_id,
        "",
        group_id or "",
        clock.unix_now(),
        ttl or DEFAULT_TTL,
        message_type,
        None,
        dst_task_id,
    )


def _say_deprecated(method: str, body: str) -> None:
    if method not in _said:
        _said.add(method)
        warn_deprecated_feature(
            f"`Message.{method}` is deprecated. Instead of calling "
            f"`some_message.{method}(some_{body}, ttl=...)`, use "
            f"`Message(some_{body}, reply_to=some_message, ttl=...)`."
        )
