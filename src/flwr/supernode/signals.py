"""SIGINT and SIGTERM as the wish to end cleanly."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def stopped_by_signals(stop: Callable[[], None]) -> Iterator[list[signal.Signals]]:
    """Call ``stop`` when a signal comes; yields a list of those that came."""
    came: list[signal.Signals] = []

    def arrive(number: int, _: FrameType | None) -> None:
        came.append(signal.Signals(number))
        stop()

    before = {number: signal.signal(number, arrive) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
