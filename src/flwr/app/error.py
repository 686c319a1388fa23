"""`Error`: why a node could not answer."""

from typing import Final


class ErrorCode:
    """What went wrong, as a number; documented values."""

    UNKNOWN: Final = 0
    LOAD_CLIENT_APP_EXCEPTION: Final = 1
    CLIENT_APP_RAISED_EXCEPTION: Final = 2
    MESSAGE_UNAVAILABLE: Final = 3
    REPLY_MESSAGE_UNAVAILABLE: Final = 4
    NODE_UNAVAILABLE: Final = 5
    MOD_FAILED_PRECONDITION: Final = 6
    INVALID_FAB: Final = 7
    CLIENT_APP_CRASHED: Final = 8


class Error:
    """What a reply carries instead of a content when a node could not answer.

    Parameters
    ----------
    code : int
        One of `ErrorCode`, or an app's own.
    reason : str, optional
        For people: by convention ``Type: message`` in the first line, then the traceback's end.

    Raises
    ------
    TypeError
        The code is no number or the reason no text.
    """

    __slots__ = ("_code", "_reason")

    def __init__(self, code: int, reason: str | None = None) -> None:
        if not isinstance(code, int):
            raise TypeError(f"The code of an Error is an int, not a {type(code).__name__}.")
        if not isinstance(reason, str | None):
            raise TypeError(f"The reason of an Error is text, not a {type(reason).__name__}.")
        self._code = code
        self._reason = reason

    @property
    def code(self) -> int:
        """What went wrong."""
        return self._code

    @property
    def reason(self) -> str | None:
        """The same for people."""
        return self._reason

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Error):
            return NotImplemented
        return (self._code, self._reason) == (other._code, other._reason)

    def __hash__(self) -> int:
        return hash((self._code, self._reason))

    def __repr__(self) -> str:
        return f"Error(code={self._code!r}, reason={self._reason!r})"
