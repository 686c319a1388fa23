"""Asking again: how long to wait in between, and when to give up.

Waits are drawn from U(0, min(longest, 0.1 · 2^n)) seconds, where the longest is 1 s for the first
10 s, and 3 s later: a hub that is back after a restart is found within a second, and a thousand
nodes do not all come at once.
"""

import itertools
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator

from flwr.errors import UnreachableError
from flwr.log import log
from flwr.transport.call import Failure

FIRST_SECONDS = 0.1
LONGEST_SECONDS = 3.0
SOON_SECONDS = 10.0  # a restart takes no longer,
LONGEST_SOON_SECONDS = 1.0  # so until then it is looked for more often
_TELL_AFTER_SECONDS = 1.0  # a shorter outage is not worth a line

# Not the global generator: apps seed that one, and a lost connection must not change their draws.
_generator = random.SystemRandom()


class Broken(Exception):  # noqa: N818 - no error yet: it is tried again
    """An attempt that broke off, with nothing wrong in what was asked.

    Parameters
    ----------
    cause : str
        For people.
    alive : bool
        Whether the other side said that it is well: patience is counted anew.
    code : str
        Of the error that it becomes when patience ends.
    """

    def __init__(
        self, cause: str, *, alive: bool = False, code: Failure = Failure.UNREACHABLE
    ) -> None:
        super().__init__(cause)
        self.cause = cause
        self.alive = alive
        self.code = code


_HINTS = {
    Failure.CONNECTION_REFUSED: "Nothing listens at that port: start the server, or mend the "
    "address.",
    Failure.TIMED_OUT: "A firewall may drop what is sent there, or the address is another's.",
    Failure.UNKNOWN_HOST: "Check how the name is spelled, and that this machine can resolve it.",
}


def delays(draw: Callable[[], float] = _generator.random) -> Iterator[float]:
    """Seconds to wait before the first retry, the second, and so on without end.

    Parameters
    ----------
    draw : callable, optional
        Gives numbers of [0, 1).
    """
    waited = 0.0
    for attempt in itertools.count():
        delay = ceiling(attempt, waited) * draw()
        waited += delay
        yield delay


def ceiling(attempt: int, away: float) -> float:
    """Return the most to wait after an attempt (the first is 0) when the other has been away."""
    longest = LONGEST_SOON_SECONDS if away < SOON_SECONDS else LONGEST_SECONDS
    return min(longest, FIRST_SECONDS * 2.0 ** min(attempt, 10))


class Outage:
    """The time in which one call or transfer does not get through.

    Parameters
    ----------
    where : str
        The address, for messages.
    patience : float
        Seconds to bear it.
    closed : threading.Event
        Set when the link is closed: nothing is tried any more.
    """

    def __init__(self, where: str, patience: float, closed: threading.Event) -> None:
        self._where = where
        self._patience = patience
        self._closed = closed
        self._delays = delays()
        self._since: float | None = None
        self._told = False

    def bear(self, broken: Broken) -> None:
        """Wait before the next attempt.

        Raises
        ------
        UnreachableError
            If patience is at its end, or the link was closed.
        """
        now = time.monotonic()
        if broken.alive:
            self.progress()
        if self._since is None:
            self._since = now
        away = now - self._since
        delay = next(self._delays)
        if not self._closed.is_set():
            if away + delay > self._patience:
                raise UnreachableError(
                    f"Cannot reach {self._where}: {broken.cause}"
                    + (f", for {away:.0f} s." if away >= 1 else "."),
                    hint=_HINTS.get(broken.code, "Check the address, and that the server runs."),
                    code=broken.code,
                ) from broken
            if away > _TELL_AFTER_SECONDS and not self._told:
                self._told = True
                left = self._patience - away
                log(logging.WARNING, "Cannot reach %s: %s. Trying on for %.0f s.",
                    self._where, broken.cause, left)  # fmt: skip
        if self._closed.wait(delay):
            raise UnreachableError(f"The link to {self._where} was closed.") from broken

    def progress(self) -> None:
        """Note that something was achieved: patience counts anew from the next break."""
        if self._since is not None:
            self._since, self._delays = None, delays()

    def over(self) -> None:
        """Note that it got through."""
        if self._told:
            log(logging.INFO, "%s answers again.", self._where)
