"""Standard streams that are closed, cannot say every character, or stop taking what is printed."""

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from io import TextIOWrapper
from typing import TextIO

_OF_STREAMS = {errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF}
_faults: list[OSError] = []


@contextlib.contextmanager
def usable_streams() -> Iterator[None]:
    """Give the body standard streams that it can print to; at its end tell what was lost.

    Raises
    ------
    SystemExit
        With 1, if something could not be printed and the body had not failed for another reason.
    """
    _open_closed()
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    end = SystemExit(0)
    try:
        yield
    except SystemExit as error:
        end = error
    except OSError as error:
        if error.filename is not None or error.errno not in _OF_STREAMS:
            raise  # a file's fault, or one of our own
        let_go(sys.stdout, error)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            let_go(stream, error)
    if _faults:
        with contextlib.suppress(OSError):
            sys.stderr.write(f"Error: not all could be printed: {_faults[0].strerror}\n")
        raise SystemExit(end.code or 1)
    if end.code is not None and end.code != 0:
        raise end


def let_go(stream: TextIO, error: OSError) -> None:
    """Remember that a stream takes nothing more; what is still printed to it goes nowhere."""
    _faults.append(error)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _open_closed() -> None:
    """Open the null device in place of streams that are closed.

    Python has ``None`` there; the next file opened would get the stream's descriptor, and what
    other processes print would end in it.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode, encoding="utf-8")  # noqa: PTH123, SIM115  (a device, for good)
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)
