"""Where what a process prints and logs goes, as legacy code redirects it."""

import io
import json
import logging
import sys
from collections.abc import Iterable
from queue import Queue
from typing import Any, TextIO, cast


class _Copier:
    """A stream whose text goes to another one, and into a queue."""

    def __init__(self, stream: TextIO, queue: "Queue[str | None]") -> None:
        self._stream, self._queue = stream, queue

    def write(self, text: str) -> int:
        self._queue.put(text)
        return self._stream.write(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def mirror_output_to_queue(log_queue: "Queue[str | None]") -> None:
    """Put into a queue, too, what is printed and logged, until `restore_output`."""
    sys.stdout = cast("TextIO", _Copier(sys.stdout, log_queue))
    sys.stderr = cast("TextIO", _Copier(sys.stderr, log_queue))


def redirect_output(output_buffer: io.StringIO) -> None:
    """Write what is printed and logged into a buffer instead, until `restore_output`."""
    sys.stdout = sys.stderr = output_buffer


def restore_output() -> None:
    """Let output go where the process was given to write it."""
    sys.stdout = cast("TextIO", sys.__stdout__)
    sys.stderr = cast("TextIO", sys.__stderr__)


def set_logger_propagation(child_logger: logging.Logger, value: bool = True) -> logging.Logger:
    """Set whether a logger's records go to its parents, and return it."""
    child_logger.propagate = value
    return child_logger


def print_json_error(msg: str, e: Exception) -> None:
    """Print a message and an error as the JSON that commands print when they fail."""
    lines = {"success": False, "error-message": f"{msg}\n{e}"}
    print(json.dumps(lines, indent=2))  # noqa: T201 - that is its purpose
