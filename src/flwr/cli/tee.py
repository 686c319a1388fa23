"""What a run prints reaches the terminal and the run's ``log.txt``."""

import codecs
import contextlib
import io
import os
import re
import sys
import threading
from collections.abc import Iterator
from typing import Any, TextIO

from flwr.cli.streams import let_go

_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_LONG_FOR_A_LINE = 0.2  # seconds
_PIECE = 1 << 16  # bytes: what a pipe holds
_LAST_WORDS = 2.0  # seconds that a worker's child may still hold the pipe after the run

_turn = threading.Condition()  # to write


def _renew_in_child() -> None:
    global _turn
    _turn = threading.Condition()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_in_child)


class Tee(io.TextIOBase):
    """A text stream that writes to another and, without colours, to a log.

    When the other takes nothing more (its reader is gone, its disk full), the log goes on alone:
    the run does not depend on who looks at it.
    """

    def __init__(self, stream: TextIO, log: TextIO) -> None:
        self._stream = stream
        self._log = log
        self._within_line = False

    def write(self, text: str) -> int:
        """Write to both; the log first, so that it is complete when the terminal is gone."""
        with _turn:
            self._write(text)
            if text:
                self._within_line = not text.endswith(("\n", "\r"))
            _turn.notify_all()
        return len(text)

    def write_between_lines(self, text: str) -> None:
        """Write what another process printed, when the line that is being printed here has ended.

        ``print`` writes a line in pieces. A line that is left open for long has to bear it.
        """
        with _turn:
            _turn.wait_for(lambda: not self._within_line, _LONG_FOR_A_LINE)
            self._write(text)

    def _write(self, text: str) -> None:
        self._log.write(_COLOUR.sub("", text) if "\x1b" in text else text)
        try:
            self._stream.write(text)
        except OSError as error:
            let_go(self._stream, error)

    def flush(self) -> None:
        """Flush both."""
        self._log.flush()
        try:
            self._stream.flush()
        except OSError as error:
            let_go(self._stream, error)

    @property
    def encoding(self) -> str:  # type: ignore[override]  # nobody sets it
        """The stream's encoding, by which others choose what they print."""
        return self._stream.encoding

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """Return the stream's descriptor; what is written to it does not reach the log."""
        return self._stream.fileno()

    def writable(self) -> bool:
        """Return True."""
        return True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def teed(log: TextIO, *, stdout: TextIO | None = None) -> Iterator[None]:
    """Let ``sys.stdout`` and ``sys.stderr`` also write to `log`.

    Parameters
    ----------
    log : TextIO
        The log.
    stdout : TextIO, optional
        Takes the place of ``sys.stdout``, which is then left alone.
    """
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = Tee(stdout or sys.stdout, log), Tee(sys.stderr, log)
    try:
        yield
    finally:
        (out, err), (sys.stdout, sys.stderr) = (sys.stdout, sys.stderr), before
        with contextlib.suppress(OSError):  # the log's disk may be full
            out.flush()
            err.flush()


class WorkerOutput:
    """A pipe that workers print into; a thread passes it on to whatever ``sys.stdout`` is.

    It is passed on between the lines that this process prints.

    Attributes
    ----------
    descriptor : int
        The end to give to the workers.
    """

    def __init__(self) -> None:
        self._reader, self.descriptor = os.pipe()
        self._thread = threading.Thread(target=self._pass_on, name="worker-output", daemon=True)

    def start(self) -> None:
        """Begin to pass on; until then the pipe keeps what is printed."""
        self._thread.start()

    def close(self) -> None:
        """Close our end and wait until what was printed has been passed on."""
        if self.descriptor < 0:
            return
        os.close(self.descriptor)
        self.descriptor = -1
        if self._thread.ident is None:
            os.close(self._reader)
        else:
            self._thread.join(_LAST_WORDS)

    def _pass_on(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        with os.fdopen(self._reader, "rb", buffering=0) as pipe:
            rest, data = "", b"\n"
            while data:
                data = pipe.read(_PIECE)
                text, rest = rest + decoder.decode(data), ""
                if len(data) == _PIECE:  # there is more, maybe of the last line as well
                    end = text.rfind("\n") + 1 or len(text)
                    text, rest = text[:end], text[end:]
                out = sys.stdout
                # Workers must never wait for a log that is gone.
                with contextlib.suppress(OSError, ValueError):
                    if isinstance(out, Tee):
                        out.write_between_lines(text)
                    else:
                        out.write(text)
                    out.flush()
