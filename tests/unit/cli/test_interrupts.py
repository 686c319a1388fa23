"""Signals that come at a bad time."""

import signal
import threading
from collections.abc import Iterator
from types import CodeType, FrameType, SimpleNamespace
from typing import cast

import pytest

from flwr.cli.interrupts import Interrupts, Terminated


@pytest.fixture
def interrupts() -> Iterator[Interrupts]:
    """Return interrupts that get this process's signals."""
    made = Interrupts()
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in kept:
        signal.signal(number, made._arrive)
    yield made
    for number, handler in kept.items():
        signal.signal(number, handler)


def frame_in(filename: str) -> FrameType:
    code = cast("CodeType", SimpleNamespace(co_filename=filename))
    return cast("FrameType", SimpleNamespace(f_code=code))


@pytest.mark.parametrize(
    ("number", "expected"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)]
)
def test_within_the_import_system_a_signal_waits_a_moment(
    interrupts: Interrupts, number: signal.Signals, expected: type[KeyboardInterrupt]
) -> None:
    """An exception there can leave the import lock held, and other threads import, too."""
    interrupts._arrive(number, frame_in("<frozen importlib._bootstrap>"))
    with pytest.raises(expected):
        threading.Event().wait(10)


def test_elsewhere_it_comes_at_once(interrupts: Interrupts) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupts._arrive(signal.SIGINT, frame_in("app.py"))


def test_a_signal_that_is_held_waits_for_its_release(interrupts: Interrupts) -> None:
    interrupts.hold()
    interrupts._arrive(signal.SIGINT, frame_in("<frozen importlib._bootstrap>"))
    threading.Event().wait(0.05)
    with pytest.raises(KeyboardInterrupt):
        interrupts.release()
