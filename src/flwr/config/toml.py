"""TOML files read together with the line of each key, and a list of what is wrong in one."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flwr.errors import ConfigError

_PART = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_KEY = rf"{_PART}(?:\s*\.\s*{_PART})*"
_TABLE_LINE = re.compile(rf"\s*\[\[?\s*({_KEY})\s*\]\]?\s*(?:#.*)?$")
_KEY_LINE = re.compile(rf"\s*({_KEY})\s*=")

Key = tuple[str, ...]


@dataclass(frozen=True)
class Document:
    """A parsed TOML file.

    Attributes
    ----------
    path : Path
        The file.
    data : dict
        What it says.
    lines : dict
        Line number, from 1, of each key and table that is written out.
    """

    path: Path
    data: dict[str, Any]
    lines: dict[Key, int]

    def line(self, key: Key) -> int | None:
        """Return the line of `key`, else that of the nearest table around it."""
        while key:
            if key in self.lines:
                return self.lines[key]
            key = key[:-1]
        return None

    def get(self, *key: str) -> Any:
        """Return the value at `key`, or None if it, or a table on the way, is missing."""
        value: Any = self.data
        for part in key:
            if not isinstance(value, dict) or part not in value:
                return None
            value = value[part]
        return value


@dataclass
class Problems:
    """What is wrong in one file, gathered so that all of it can be told at once."""

    document: Document
    found: list[tuple[int, str]] = field(default_factory=list)

    def add(self, key: Iterable[str], text: str) -> None:
        """Note that `text` is wrong with `key`."""
        path = tuple(key)
        line = self.document.line(path) or 0
        place = f"line {line}, " if line else ""
        self.found.append((line, f"{place}{'.'.join(path)}: {text}"))

    def raise_if_any(self, what: str) -> None:
        """Raise a :class:`~flwr.errors.ConfigError` that lists everything found.

        Parameters
        ----------
        what : str
            What the file describes, as in "Invalid `what` in '<path>'".
        """
        if self.found:
            raise ConfigError(self.text(what))

    def text(self, what: str) -> str:
        """Return everything found, line by line; `what` as in `raise_if_any`."""
        listed = "\n".join(f"- {problem}" for _, problem in sorted(self.found))
        return f"Invalid {what} in '{self.document.path}':\n{listed}"


def read_toml(path: Path) -> Document:
    """Read a TOML file.

    Raises
    ------
    ConfigError
        If it cannot be read or is not TOML; names the file, the line and the line's text.
    """
    import tomllib

    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"Cannot read '{path}': {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"Cannot read '{path}': it is not UTF-8 text ({error.reason})") from error
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"'{path}' is not valid TOML: {_explain(str(error), text)}") from error
    return Document(path, data, key_lines(text))


def key_lines(text: str) -> dict[Key, int]:
    """Return the line number of each table header and key of a TOML text, the first of each."""
    lines: dict[Key, int] = {}
    table: Key = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _TABLE_LINE.match(line):
            table = _parts(header[1])
            lines.setdefault(table, number)
        elif pair := _KEY_LINE.match(line):
            lines.setdefault(table + _parts(pair[1]), number)
    return lines


def _parts(key: str) -> Key:
    return tuple(part.strip("\"'") for part in re.findall(_PART, key))


def _explain(error: str, text: str) -> str:
    """Return the parser's message with the text of the line it names."""
    place = re.search(r"at line (\d+)", error)
    lines = text.splitlines()
    if place and 0 < int(place[1]) <= len(lines):
        return f"{error}\n  line {place[1]}: {lines[int(place[1]) - 1].strip()}"
    return error
