"""What SIGINT (Ctrl-C) and SIGTERM (``docker stop``, a job scheduler) do to a command."""

import atexit
import math
import os
import signal
import time
from types import FrameType

_ONE_WISH = 1.0  # seconds: a signal so soon after another one says the same again
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

    Signals in quick succession are one wish. While they are held, they wait.
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

    def _arrive(self, number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        repeated, self._last = now - self._last < _ONE_WISH, now
        if repeated:
            return
        interrupt = Terminated() if number == signal.SIGTERM else KeyboardInterrupt()
        if not self._held:
            raise interrupt
        self._waiting = interrupt

    def _replace(self, handlers: "dict[signal.Signals, signal._HANDLER]") -> None:
        for number, handler in handlers.items():
            if signal.getsignal(number) == self._arrive:
                signal.signal(number, handler)


interrupts = Interrupts()
