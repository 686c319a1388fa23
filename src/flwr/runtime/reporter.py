"""What an app process tells the hub: events and printed text, and that it is alive."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from flwr.app.events import Event
from flwr.errors import LinkError
from flwr.transport import appio
from flwr.transport.client import Link
from flwr.wire import events as event_codec

GATHER_SECONDS = 0.05  # what is told may wait so long for company: each report is a commit
SILENCE_SECONDS = 20.0  # after so long without news, a sign of life
MOST_TEXT = 1 << 20  # characters of one report
MOST_EVENT_BYTES = 8 << 20  # of one report
MOST_HELD = 4 << 20  # characters that wait; whoever prints more waits, too


T = TypeVar("T")


class Reporter:
    """Sends reports, one after the other; what comes meanwhile makes the next one.

    Parameters
    ----------
    link : Link
        To the hub, with the token of this attempt.
    on_end : callable
        Called once, in the reporter's thread, with why no more can be told: the run has ended,
        this process was superseded, or nobody answers.
    """

    def __init__(self, link: Link, on_end: Callable[[LinkError | None], None]) -> None:
        self._link = link
        self._on_end = on_end
        self._changed = threading.Condition()
        self._texts: list[str] = []
        self._held = 0
        self._events: list[appio.Told] = []
        self._given = 0  # pieces, of text and events
        self._told = 0  # of them
        self._seq = 0
        self._hurried = 0  # pieces that somebody waits for
        self._closing = False
        self._over = False
        self._thread = threading.Thread(target=self._run, name="flwr-reports", daemon=True)
        self._thread.start()

    def emit(self, event: Event) -> None:
        """Tell an event."""
        kind, body = event_codec.encode(event)
        with self._changed:
            self._events.append(appio.Told(time.time(), kind, body))
            self._note()

    def write(self, text: str) -> None:
        """Tell printed text. Waits while the hub is behind by too much."""
        with self._changed:
            self._changed.wait_for(lambda: self._held < MOST_HELD or self._over)
            self._texts.append(text)
            self._held += len(text)
            self._note()

    def flush(self) -> None:
        """Return when everything so far has reached the hub, or nothing can any more."""
        with self._changed:
            given = self._hurried = self._given
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._told >= given or self._over)

    def close(self) -> None:
        """Tell the rest, and end."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def _note(self) -> None:
        self._given += 1
        self._changed.notify_all()

    def _run(self) -> None:
        try:
            while (report := self._next()) is not None:
                if self._link.call(appio.REPORT, report[0]).stop:
                    self._end(None)
                    return
                with self._changed:
                    self._told += report[1]
                    self._changed.notify_all()
        except LinkError as error:
            self._end(error)

    def _end(self, error: LinkError | None) -> None:
        with self._changed:
            self._over = True
            self._changed.notify_all()
        self._on_end(error)

    def _next(self) -> tuple[appio.Report, int] | None:
        """Wait for something to tell; return it and how many pieces it is."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._texts or self._events or self._closing, SILENCE_SECONDS
            )
            self._changed.wait_for(
                lambda: self._closing or self._hurried > self._told or self._held >= MOST_TEXT,
                GATHER_SECONDS,
            )
            if not self._texts and not self._events and self._closing:
                return None
            texts = _cut(self._texts, [len(text) for text in self._texts], MOST_TEXT)
            events = _cut(self._events, [len(each.body) for each in self._events], MOST_EVENT_BYTES)
            text = "".join(texts)
            self._held -= len(text)
            self._seq += 1
            return appio.Report(self._seq, events, text), len(texts) + len(events)


def _cut(pieces: list[T], sizes: list[int], most: int) -> list[T]:
    """Take the first pieces out of a list: at least one, and more while they fit."""
    count = total = 0
    for size in sizes:
        if count and total + size > most:
            break
        count += 1
        total += size
    taken = pieces[:count]
    del pieces[:count]
    return taken
