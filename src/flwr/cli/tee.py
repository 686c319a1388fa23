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
_LAST_WORDS = 2.0  # seconds that a worker's child may still hold the pipe after the run


class Tee(io.TextIOBase):
    """A text stream that writes to another and, without colours, to a log.

    When the other takes nothing more (its reader is gone, its disk full), the log goes on alone:
    the run does not depend on who looks at it.
    """

    def __init__(self, stream: TextIO, log: TextIO) -> None:
        self._stream = stream
        self._log = log

    def write(self, text: str) -> int:
        """Write to both; the log first, so that it is complete when the terminal is gone."""
        self._log.write(_COLOUR.sub("", text) if "\x1b" in text else text)
        try:
            self._stream.write(text)
        except OSError as error:
            let_go(self._stream, error)
        return len(text)

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
            while data := pipe.read(1 << 16):
                # Workers must never wait for a log that is gone.
                with contextlib.suppress(OSError, ValueError):
                    sys.stdout.write(decoder.decode(data))
                    sys.stdout.flush()
