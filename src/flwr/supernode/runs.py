"""A thread for each run, which handles the run's messages in their order."""

import queue
import threading
from collections.abc import Callable
from typing import Protocol

from flwr.supernode.agent import Instruction


class Stoppable(Protocol):
    """What handles messages, and can be told to stop in the middle of one."""

    def interrupt(self) -> None:
        """End what is being done, at once; called from another thread."""

    def close(self) -> None:
        """Give everything back."""


class RunThread:
    """One run: its messages, and the thread that handles them one at a time.

    Parameters
    ----------
    run_id : int
        The run.
    executor : Stoppable
        Owned by this thread.
    handle : callable
        Called with each message in the thread.
    retire : callable
        Asked after a while without messages whether the thread may end.
    fail : callable
        Told of an error that nobody foresaw.
    idle_seconds : float
        That while.
    """

    def __init__(
        self,
        run_id: int,
        executor: Stoppable,
        *,
        handle: Callable[["RunThread", Instruction], None],
        retire: Callable[["RunThread"], bool],
        fail: Callable[[BaseException], None],
        idle_seconds: float,
    ) -> None:
        self.run_id = run_id
        self._executor = executor
        self._handle = handle
        self._retire = retire
        self._fail = fail
        self._idle_seconds = idle_seconds
        self._queue: queue.SimpleQueue[Instruction | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting: set[str] = set()
        self._stopped: set[str] = set()
        self._ended = False
        self._last: Callable[[], None] = lambda: None
        self._running = ""
        self._thread = threading.Thread(target=self._work, name=f"run {run_id}", daemon=True)
        self._thread.start()

    def begin(self, instruction: Instruction) -> None:
        """Handle a message after those that came before it."""
        with self._lock:
            self._waiting.add(instruction.message_id)
        self._queue.put(instruction)

    def stop(self, message_id: str) -> None:
        """Do not handle a message, or not to its end."""
        with self._lock:
            if message_id not in self._waiting:
                return
            self._stopped.add(message_id)
            running = self._running == message_id
        if running:
            self._executor.interrupt()

    def end(self, last: Callable[[], None] = lambda: None) -> None:
        """Stop everything at once.

        Parameters
        ----------
        last : callable
            Called in the thread, once nothing is done for the run any more.
        """
        with self._lock:
            self._ended, self._last = True, last
        self._queue.put(None)
        self._executor.interrupt()

    @property
    def idle(self) -> bool:
        """Whether there is no message."""
        return not self._waiting

    def is_stopped(self, message_id: str) -> bool:
        """Whether nobody waits for what becomes of a message."""
        with self._lock:
            return self._ended or message_id in self._stopped

    def join(self, timeout: float) -> None:
        """Wait for the end."""
        self._thread.join(timeout)

    def _work(self) -> None:
        try:
            while not self._ended:
                try:
                    instruction = self._queue.get(timeout=self._idle_seconds)
                except queue.Empty:
                    if self._retire(self):
                        return
                    continue
                if instruction is not None:
                    self._take(instruction)
        except BaseException as error:  # nobody would go on with this run's messages
            self._fail(error)
        finally:
            self._executor.close()
            self._last()

    def _take(self, instruction: Instruction) -> None:
        with self._lock:
            self._running = instruction.message_id
        try:
            self._handle(self, instruction)
        finally:
            with self._lock:
                self._running = ""
                self._waiting.discard(instruction.message_id)
                self._stopped.discard(instruction.message_id)
