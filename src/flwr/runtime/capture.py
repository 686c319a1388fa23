"""What a process and its children print, down to the descriptors, reaches a function as well."""

import codecs
import contextlib
import faulthandler
import os
import sys
import threading
from collections.abc import Callable

_LAST_WORDS = 2.0  # seconds that a child may still hold the pipe after the end
_STDOUT, _STDERR = 1, 2


class Capture:
    """Puts a pipe in the place of stdout and stderr; a thread copies it to the former stderr.

    Parameters
    ----------
    tell : callable
        Called with each piece of text, in the thread.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        _flush()
        self._former = os.dup(_STDOUT), os.dup(_STDERR)
        self._reader, writer = os.pipe()
        os.dup2(writer, _STDOUT)
        os.dup2(writer, _STDERR)
        os.close(writer)
        print_whole_lines()
        faulthandler.enable(self._former[1])  # of a crash nothing comes through the pipe any more
        self._thread = threading.Thread(target=self._copy, name="flwr-output", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Give the descriptors back, and return when what was printed has been told."""
        _flush()
        os.dup2(self._former[0], _STDOUT)
        os.dup2(self._former[1], _STDERR)
        self._thread.join(_LAST_WORDS)

    def _copy(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        with os.fdopen(self._reader, "rb", buffering=0) as pipe:
            while data := pipe.read(1 << 16):
                with contextlib.suppress(OSError):  # the disk of the former may be full
                    os.write(self._former[1], data)
                if text := decoder.decode(data):
                    self._tell(text)


def print_whole_lines() -> None:
    """Have what is printed leave this process at the end of each line, and not in the midst of one.

    Else it waits where the other end is no terminal, or, with ``PYTHONUNBUFFERED``, the lines of
    processes that share an output get mixed: ``print`` writes each of its arguments by itself.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True, write_through=False)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
