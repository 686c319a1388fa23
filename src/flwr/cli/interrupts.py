"""What SIGINT (Ctrl-C) and SIGTERM (``docker stop``, a job scheduler) do to a command."""

import _thread
import atexit
import math
import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_ONE_WISH = 1.0  # seconds: a signal so soon after another one says the same again
_A_MOMENT = 0.005  # seconds after which a signal that came at a bad time comes again
_IMPORT_SYSTEM = "<frozen importlib._bootstrap>"
_DEFAULTS: "dict[signal.Signals, signal._HANDLER]" = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
}


class Terminated(KeyboardInterrupt):
    """SIGTERM came."""


def exit_status(interrupt: KeyboardInterrupt) -> int:
    """Return what a command that was interrupted exits with: 128 and the signal's number."""
    return 143 if isinstance(interrupt, Terminated) else 130


class Interrupts:
    """Raises ``KeyboardInterrupt``, or `Terminated`, in the main thread once for each wish.

    Signals in quick succession are one wish. While they are held, they wait. One that comes at a
    bad time comes again: within the import system, where an exception can leave a lock held that
    other threads then wait for until the end of days, and in a destructor or the like, where
    Python drops exceptions.
    """

    def __init__(self) -> None:
        self._held = False
        self._waiting: KeyboardInterrupt | None = None
        self._last = -math.inf  # when the last signal came

    def install(self) -> None:
        """Have signals come here, but those that are ignored, as under ``nohup``."""
        for number, default in _DEFAULTS.items():
            if signal.getsignal(number) == default:
                signal.signal(number, self._arrive)
        sys.unraisablehook = self._unraisable
        # Python itself gives signals up while it ends, which would then kill it.
        atexit.register(self._replace, dict.fromkeys(_DEFAULTS, signal.SIG_IGN))
        if hasattr(os, "register_at_fork"):  # children, as of a data loader, are not the command
            os.register_at_fork(after_in_child=lambda: self._replace(_DEFAULTS))

    def hold(self) -> None:
        """Have signals wait until `release`."""
        self._held = True

    def release(self) -> None:
        """Let signals through again; raise what has waited."""
        self._held = False
        if self._waiting is not None:
            raise self._waiting

    def end(self) -> None:
        """Let signals through again; forget what has waited."""
        self._held, self._waiting = False, None

    def _arrive(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        repeated, self._last = now - self._last < _ONE_WISH, now
        if repeated:
            return
        importing = frame is not None and frame.f_code.co_filename == _IMPORT_SYSTEM
        if importing and not self._held:
            self._repeat(signal.Signals(number))
            return
        interrupt = Terminated() if number == signal.SIGTERM else KeyboardInterrupt()
        if not self._held:
            raise interrupt
        self._waiting = interrupt

    def _unraisable(self, dropped: "UnraisableHookArgs") -> None:
        """Have an interrupt come again that was raised where nothing can be raised."""
        if isinstance(dropped.exc_value, Terminated):
            self._repeat(signal.SIGTERM)
        elif isinstance(dropped.exc_value, KeyboardInterrupt):
            self._repeat(signal.SIGINT)
        else:
            sys.__unraisablehook__(dropped)

    def _repeat(self, number: signal.Signals) -> None:
        self._last = -math.inf
        _thread.start_new_thread(_send_later, (number,))

    def _replace(self, handlers: "dict[signal.Signals, signal._HANDLER]") -> None:
        for number, handler in handlers.items():
            if signal.getsignal(number) == self._arrive:
                signal.signal(number, handler)


def _send_later(number: signal.Signals) -> None:
    threading.Event().wait(_A_MOMENT)
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, number)
    else:
        _thread.interrupt_main(number)


interrupts = Interrupts()
