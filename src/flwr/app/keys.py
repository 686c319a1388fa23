"""The keys of records: plain text."""


def plain_text(text: str) -> str:
    """Return a text as exactly a ``str``: numpy's scalars and enumerations' members are more."""
    return text if type(text) is str else str.__str__(text)


def plain_key(key: object) -> str:
    """Return a key as it is stored.

    Raises
    ------
    TypeError
        It is no text.
    """
    if isinstance(key, str):
        return plain_text(key)
    raise TypeError(f"Key must be of type `str` but `{type(key)}` was passed: {key!r:.60}.")
