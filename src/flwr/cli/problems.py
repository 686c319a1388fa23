"""Errors of one command line, told together so that all can be mended before the next try."""

import contextlib
from collections.abc import Iterator

from flwr.errors import ConfigError


class Problems:
    """What is wrong with a command's arguments.

    Parameters
    ----------
    what : str
        What that comes to, as the first line of a list.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._found: list[ConfigError] = []

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """Go on after the body; keep what was wrong in it."""
        try:
            yield
        except ConfigError as error:
            self._found.append(error)

    def raise_any(self) -> None:
        """Raise what was wrong: a single error as it is, several as a list.

        Raises
        ------
        ConfigError
            Of the kind of the first one.
        """
        if not self._found:
            return
        first, *others = self._found
        if not others:
            raise first
        listed = (str(error).replace("\n", "\n  ") for error in self._found)
        raise type(first)("\n- ".join([f"{self._what}:", *listed]))
