"""The types of messages and how they are written."""

from functools import lru_cache
from typing import Final, Self


class MessageType:
    """The categories of messages; not to be instantiated."""

    TRAIN: Final = "train"
    EVALUATE: Final = "evaluate"
    QUERY: Final = "query"
    SYSTEM: Final = "system"

    def __new__(cls) -> Self:
        """Refuse."""
        raise TypeError(f"{cls.__name__} cannot be instantiated.")


class MessageTypeLegacy:
    """The types only the legacy API uses; not to be instantiated."""

    GET_PROPERTIES: Final = "get_properties"
    GET_PARAMETERS: Final = "get_parameters"

    def __new__(cls) -> Self:
        """Refuse."""
        raise TypeError(f"{cls.__name__} cannot be instantiated.")


_CATEGORIES = frozenset({"train", "evaluate", "query", "system"})
_LEGACY = frozenset({"get_properties", "get_parameters", "reconnect"})


@lru_cache(maxsize=1024)
def check_message_type(message_type: str) -> None:
    """Accept ``<category>``, ``<category>.<action>`` and the legacy words.

    Raises
    ------
    ValueError
        It is none of these.
    """
    category, dot, action = message_type.partition(".")
    if message_type in _LEGACY or (category in _CATEGORIES and (not dot or action.isidentifier())):
        return
    raise ValueError(
        f"Invalid message type: '{message_type}'. Expected format: '<category>' or "
        "'<category>.<action>', where <category> must be 'train', 'evaluate', or 'query', and "
        "<action> must be a valid Python identifier."
    )
