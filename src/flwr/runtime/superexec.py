"""A launcher of app processes that is not the hub: asks for them, starts, watches and ends them."""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from flwr.errors import LinkError, UnreachableError
from flwr.log import log
from flwr.runtime.appprocess import LaunchFacts
from flwr.transport import appio
from flwr.transport.fleet import RENEW_SECONDS
from flwr.transport.retry import delays

MODULES = {
    "serverapp": "flwr.runtime.serverapp_process",
    "simulation": "flwr.simulation.process",
}
MOST_PROCESSES = 100
TERM_SECONDS = 1.0  # between asking a process to end and ending it
_TAIL_BYTES = 4096
_TELL_SECONDS = 2.0  # that the news of ended processes may take when the launcher itself ends


class _Key(Protocol):
    """Names an attempt: `Launch` and `Launched` do."""

    @property
    def run_id(self) -> int: ...
    @property
    def attempt(self) -> int: ...


@dataclass
class Launcher:
    """Runs the app processes that a hub wants, until it is told to end.

    Attributes
    ----------
    facts : LaunchFacts
        How a process reaches the hub; the token comes from the hub.
    kinds : sequence of str
        Which processes it can start: keys of `MODULES`.
    most : int
        How many at a time.
    once : bool
        Whether it ends after the first one.
    """

    facts: LaunchFacts
    kinds: Sequence[str]
    most: int = MOST_PROCESSES
    once: bool = False

    def __post_init__(self) -> None:
        self._instance = uuid.uuid4().hex
        self._running: dict[tuple[int, int], _Child] = {}
        self._ended: list[appio.Ended] = []  # to be told
        self._told: deque[appio.Ended] = deque(maxlen=MOST_PROCESSES)
        self._started = 0
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._link = self.facts.link()

    def run(self) -> None:
        """Work until `stop`, or with ``once`` until the first process has ended.

        Raises
        ------
        LinkError
            If the hub cannot be talked to.
        """
        with self._link:
            try:
                while not self._is_done():
                    self._follow(self._ask(RENEW_SECONDS))
            except LinkError:
                if not self._is_done():
                    raise
            finally:
                self._end_all()

    def stop(self) -> None:
        """End, and with it all processes. May be called from a signal handler."""
        self._stopping.set()
        self._link.close()

    def _is_done(self) -> bool:
        if self._stopping.is_set():
            return True
        return self.once and self._started > 0 and not self._running

    def _ask(self, wait: float) -> appio.Launches:
        """Tell the hub what there is, and wait for what it wants.

        After a break it is told what there is then, and what an earlier one may not have kept.
        """
        pauses, since = delays(), 0.0
        while True:
            request = self._request(wait)
            try:
                wanted = self._link.call(appio.LAUNCH, request, wait=wait, patience=0.0)
            except UnreachableError as error:
                now = time.monotonic()
                if not since:
                    since = now
                    self._warn(error)
                told_all = self._is_done() and not self._ended
                if told_all or self._stopping.is_set() or now - since > self.facts.patience:
                    raise
                with self._lock:
                    self._ended = [*self._told, *self._ended]
                    self._told.clear()
                self._stopping.wait(next(pauses))
                continue
            with self._lock:
                self._told.extend(each for each in self._ended if each in request.ended)
                self._ended = [each for each in self._ended if each not in request.ended]
            return wanted

    def _warn(self, error: UnreachableError) -> None:
        if not self._is_done():
            log(logging.WARNING, "%s Trying again …", error.message)

    def _request(self, wait: float) -> appio.Launching:
        with self._lock:
            free = (1 if self.once else self.most) - len(self._running)
            if self.once and self._started:
                free = 0
            return appio.Launching(
                instance=self._instance,
                ended=list(self._ended),
                holding=[appio.Launched(*key) for key in self._running],
                capacity=max(0, free) if wait else 0,
                kinds=tuple(self.kinds),
                wait=wait,
            )

    def _follow(self, wanted: appio.Launches) -> None:
        for launch in wanted.start:
            self._start(launch)
        for launched in wanted.stop:
            child = self._running.get(_key(launched))
            if child is not None:
                child.unwanted = True
                threading.Thread(target=child.end, daemon=True).start()
        if wanted.retry_after:
            self._stopping.wait(wanted.retry_after)

    def _start(self, launch: appio.Launch) -> None:
        log(logging.INFO, "Run %d: starting its %s, attempt %d", launch.run_id, launch.kind,
            launch.attempt)  # fmt: skip
        facts = replace(self.facts, token=launch.token)
        child = _Child(MODULES[launch.kind], facts)
        with self._lock:
            self._started += 1
            self._running[_key(launch)] = child
        threading.Thread(target=self._watch, args=(launch, child), daemon=True).start()

    def _watch(self, launch: appio.Launch, child: "_Child") -> None:
        status = child.wait()
        with self._lock:
            del self._running[_key(launch)]
            self._ended.append(appio.Ended(launch.run_id, launch.attempt, status, child.tail))
        if status and not child.unwanted:
            log(logging.WARNING, "Run %d: its process ended with %d", launch.run_id, status)
        with contextlib.suppress(LinkError):  # the main thread will say so
            self._follow(self._ask(0.0))
        if self._is_done():
            self._link.close()  # wakes the main thread

    def _end_all(self) -> None:
        children = list(self._running.values())
        for child in children:
            child.ask_to_end()
        for child in children:
            child.end()
        if not self._ended and not children:
            return
        with contextlib.suppress(LinkError), self.facts.link() as link:
            ended = [*self._ended, *(appio.Ended(*key, -signal.SIGTERM) for key in self._running)]
            request = appio.Launching(self._instance, ended, kinds=tuple(self.kinds), wait=0.0)
            link.call(appio.LAUNCH, request, patience=_TELL_SECONDS)


class _Child:
    """A process in a session of its own; what it prints is passed on, and its end kept."""

    def __init__(self, module: str, facts: LaunchFacts) -> None:
        self.unwanted = False
        reads, writes = os.pipe()
        command = [sys.executable, "-P", "-m", module, "--launch-fd", str(reads)]
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own module, by our interpreter
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=[reads],
                start_new_session=True,
            )
        finally:
            os.close(reads)
        with contextlib.suppress(BrokenPipeError), os.fdopen(writes, "wb") as pipe:
            pipe.write(facts.written())
        self._tail = b""
        self._gone = threading.Event()
        self._reader = threading.Thread(target=self._pass_on, daemon=True)
        self._reader.start()

    @property
    def tail(self) -> str:
        """The end of what it printed."""
        return self._tail.decode(errors="replace")

    def wait(self) -> int:
        """Wait for its end, and end what it has started; return its exit status."""
        os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        self._signal(signal.SIGKILL)  # its id cannot be another's yet
        self._gone.set()
        status = self._process.wait()
        self._reader.join()
        return status

    def ask_to_end(self) -> None:
        """Send SIGTERM to it and what it started."""
        self._signal(signal.SIGTERM)

    def end(self) -> None:
        """See that it ends."""
        self.ask_to_end()
        if not self._gone.wait(TERM_SECONDS):
            self._signal(signal.SIGKILL)

    def _pass_on(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as pipe:
            while data := os.read(pipe.fileno(), 1 << 16):
                self._tail = (self._tail + data)[-_TAIL_BYTES:]
                with contextlib.suppress(OSError):
                    os.write(2, data)

    def _signal(self, number: signal.Signals) -> None:
        if not self._gone.is_set():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)


def _key(attempt: _Key) -> tuple[int, int]:
    return attempt.run_id, attempt.attempt
