"""The one logger, ``flwr``: console lines on stderr, optional file, deprecation notices.

Console lines start with the level word and put the message in column 13, as users of the
framework expect to grep them. Colours appear on terminals only, or with ``FORCE_COLOR``, and never
with ``NO_COLOR``.
"""

import logging
import os
import sys
from typing import TextIO

LOGGER_NAME = "flwr"
FLOWER_LOGGER = logging.getLogger(LOGGER_NAME)
logger = FLOWER_LOGGER
log = FLOWER_LOGGER.log

_COLOURS = {"DEBUG": 94, "INFO": 92, "WARNING": 93, "ERROR": 91, "CRITICAL": 95}
_MESSAGE_COLUMN = 12


class ConsoleHandler(logging.StreamHandler[TextIO]):
    """Write ``LEVEL :     message`` lines to a stream.

    Parameters
    ----------
    timestamps : bool, default False
        Put the local time behind the level.
    json : bool, default False
        Write one JSON object a record instead: ``lvl``, ``time`` and ``msg``.
    colored : bool, optional
        Colour the level word; by default only where the stream is a terminal, or ``FORCE_COLOR``
        is set, and ``NO_COLOR`` is not.
    stream : TextIO, optional
        Where to write; by default whatever ``sys.stderr`` is at the time of the record.
    """

    def __init__(
        self,
        timestamps: bool = False,
        json: bool = False,
        colored: bool | None = None,
        stream: TextIO | None = None,
    ) -> None:
        super().__init__(stream or sys.stderr)
        self.timestamps = timestamps
        self.json = json
        self.colored = colored
        self._follows_stderr = stream is None

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record, to today's ``sys.stderr`` if no stream was given."""
        if self._follows_stderr:
            self.stream = sys.stderr  # notebooks, test runners and progress bars replace it
        super().emit(record)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line for one record."""
        level = record.levelname
        message = record.getMessage()
        if record.exc_info:
            message += "\n" + logging.Formatter().formatException(record.exc_info)
        if self.json:
            import json

            time = logging.Formatter().formatTime(record)
            return json.dumps({"lvl": level, "time": time, "msg": message})
        word = f"\x1b[{_COLOURS.get(level, 0)}m{level}\x1b[0m" if self._in_colour() else level
        if self.timestamps:
            return f"{word} {logging.Formatter().formatTime(record)}:      {message}"
        return f"{word} :{' ' * (_MESSAGE_COLUMN - len(level) - 2)}{message}"

    def _in_colour(self) -> bool:
        if self.colored is not None:
            return self.colored
        if os.environ.get("NO_COLOR") or os.environ.get("TERM") in ("dumb", "unknown"):
            return False
        forced = bool(os.environ.get("FORCE_COLOR"))
        return forced or bool(getattr(self.stream, "isatty", bool)())


def _level_from_environment() -> int:
    name = os.environ.get("FLWR_LOG_LEVEL", "INFO").upper()
    return logging.getLevelNamesMapping().get(name, logging.INFO)


console_handler = ConsoleHandler()
console_handler.setLevel(_level_from_environment())
FLOWER_LOGGER.setLevel(logging.DEBUG)
if not any(isinstance(handler, ConsoleHandler) for handler in FLOWER_LOGGER.handlers):
    FLOWER_LOGGER.addHandler(console_handler)


def update_console_handler(
    level: int | str | None = None,
    timestamps: bool | None = None,
    colored: bool | None = None,
) -> None:
    """Change the console handler's level, time stamps or colours; ``None`` leaves one as it is."""
    if level is not None:
        console_handler.setLevel(level)
    if timestamps is not None:
        console_handler.timestamps = timestamps
    if colored is not None:
        console_handler.colored = colored


def file_formatter(before: str = "") -> logging.Formatter:
    """Return what makes the lines of log files; `before` is put in front of each."""
    place = "%(filename)s:%(lineno)d"
    return logging.Formatter(f"{before}%(levelname)s %(name)s %(asctime)s | {place} | %(message)s")


def configure(identifier: str, filename: str | None = None, host: str | None = None) -> None:
    """Also log to a file, or to an HTTP host (posted to ``/log``), at level DEBUG.

    Parameters
    ----------
    identifier : str
        Put in front of each line of the file.
    filename : str, optional
        The file, appended to.
    host : str, optional
        ``host:port`` that receives each record as a form.
    """
    if filename:
        to_file = logging.FileHandler(filename)
        to_file.setLevel(logging.DEBUG)
        to_file.setFormatter(file_formatter(f"{identifier} | "))
        FLOWER_LOGGER.addHandler(to_file)
    if host:
        from logging.handlers import HTTPHandler

        to_host = HTTPHandler(host, "/log", method="POST")
        to_host.setLevel(logging.DEBUG)
        FLOWER_LOGGER.addHandler(to_host)


def warn_preview_feature(name: str) -> None:
    """Say that a feature may still change."""
    log(logging.WARNING, "PREVIEW FEATURE: %s\n\n            It may still change.", name)


def warn_deprecated_feature(name: str) -> None:
    """Say that a feature is deprecated, and by what it is replaced."""
    log(
        logging.WARNING,
        "DEPRECATED FEATURE: %s\n\n            This is a deprecated feature: it goes on working "
        "here, but new code should not use it.\n",
        name,
    )


def warn_unsupported_feature(name: str) -> None:
    """Say that a feature is not supported."""
    log(logging.WARNING, "UNSUPPORTED FEATURE: %s", name)


def warn_deprecated_feature_with_example(
    deprecation_message: str, example_message: str, code_example: str
) -> None:
    """Say that a feature is deprecated and show the code that replaces it."""
    warn_deprecated_feature(deprecation_message)
    line = "-" * 72
    text = f"{example_message}\n{line}\n{code_example}\n{line}"
    log(logging.WARNING, "FEATURE UPDATE: %s", text)
