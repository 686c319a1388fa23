"""App processes on this machine: started, watched until they end, and ended.

They live in sessions of their own, so that they survive the hub; a hub that comes back finds them
by process id and time of creation. A process gets its token through a pipe, and only after its id
has been recorded: one that a dying hub had not recorded yet reads the pipe's end and goes.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import psutil

from flwr.runtime.appprocess import LaunchFacts
from flwr.runtime.superexec import MODULES

TERM_SECONDS = 1.0  # between asking a process to end and ending it
TAIL_BYTES = 4096
TAIL_LINES = 20


@dataclass(frozen=True)
class ProcessId:
    """A process for ever: ids are used again, but not at the same time of creation."""

    pid: int
    created: float

    def is_alive(self) -> bool:
        """Whether it runs (a zombie does not)."""
        try:
            process = psutil.Process(self.pid)
            return (
                abs(float(process.create_time()) - self.created) < 0.5
                and process.status() != psutil.STATUS_ZOMBIE
            )
        except psutil.NoSuchProcess:
            return False


class LocalProcess:
    """An app process on this machine.

    Parameters
    ----------
    identity : ProcessId
        Which.
    child : subprocess.Popen, optional
        None for one that an earlier hub started.
    facts_to : int, optional
        The writing end of the pipe on which the process waits for its launch facts.
    """

    def __init__(
        self,
        identity: ProcessId,
        child: "subprocess.Popen[bytes] | None" = None,
        facts_to: int | None = None,
    ) -> None:
        self.identity = identity
        self._child = child
        self._facts_to = facts_to
        self.watching: asyncio.Task[int | None] = asyncio.create_task(self._watch())

    @classmethod
    async def start(cls, kind: str, output: Path) -> "LocalProcess":
        """Start a process that waits for its facts; what it prints is appended to `output`."""
        child, facts_to = await asyncio.to_thread(_spawn, kind, output)
        return cls(_identify(child), child, facts_to)

    def tell(self, facts: LaunchFacts) -> None:
        """Let it begin."""
        assert self._facts_to is not None
        with contextlib.suppress(BrokenPipeError):  # it is dead already, which others notice
            os.write(self._facts_to, facts.written())
        self.abandon()

    def abandon(self) -> None:
        """Close the pipe: a process that was told nothing ends by itself."""
        if self._facts_to is not None:
            os.close(self._facts_to)
            self._facts_to = None

    async def ended(self) -> int | None:
        """Wait for its end; return the exit status, or None if it cannot be known."""
        return await asyncio.shield(self.watching)

    async def end(self) -> None:
        """End it and the processes that it started, within a second or so."""
        if self.watching.done():
            return
        _signal_group(self.identity, signal.SIGTERM)
        done, _ = await asyncio.wait([self.watching], timeout=TERM_SECONDS)
        if not done:
            _signal_group(self.identity, signal.SIGKILL)
            await self.ended()

    def let_go(self) -> None:
        """Stop watching: it lives on without this hub."""
        self.watching.cancel()
        self.abandon()
        if self._child is not None and self._child.returncode is None:
            self._child.returncode = 0  # so that its object does not complain

    async def _watch(self) -> int | None:
        await _exit_of(self.identity)
        # before its id can be used again: what it left in its session goes with it
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.identity.pid, signal.SIGKILL)
        if self._child is None:
            return None
        return await asyncio.to_thread(self._child.wait)


def tail(output: Path) -> str:
    """Return the end of what a process printed, or an empty text."""
    try:
        with output.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-TAIL_LINES:])


def _spawn(kind: str, output: Path) -> "tuple[subprocess.Popen[bytes], int]":
    output.parent.mkdir(parents=True, exist_ok=True)
    reads, writes = os.pipe()
    try:
        with output.open("ab") as file:
            # -P: a module in the folder where the hub was started is not the app's
            command = [sys.executable, "-P", "-m", MODULES[kind], "--launch-fd", str(reads)]
            child = subprocess.Popen(  # noqa: S603 - our own module, by our interpreter
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                pass_fds=[reads],
                start_new_session=True,
            )
    except BaseException:
        os.close(writes)
        raise
    finally:
        os.close(reads)
    return child, writes


def _identify(child: "subprocess.Popen[bytes]") -> ProcessId:
    try:  # it cannot have been reaped yet, so the id is its
        return ProcessId(child.pid, psutil.Process(child.pid).create_time())
    except psutil.NoSuchProcess:
        return ProcessId(child.pid, 0.0)


def _signal_group(identity: ProcessId, number: signal.Signals) -> None:
    if identity.is_alive():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(identity.pid, number)


async def _exit_of(identity: ProcessId) -> None:
    """Wait until a process has ended."""
    if not hasattr(os, "pidfd_open"):
        await _exit_seen_by_thread(identity.pid)
        return
    try:
        descriptor = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return
    try:
        if not identity.is_alive():  # looked at after opening: it was another process
            return
        loop = asyncio.get_running_loop()
        gone = loop.create_future()
        loop.add_reader(descriptor, _settle, gone)
        try:
            await gone
        finally:
            loop.remove_reader(descriptor)
    finally:
        os.close(descriptor)


async def _exit_seen_by_thread(pid: int) -> None:
    """Wait for a process where the system has no descriptors of processes."""
    loop = asyncio.get_running_loop()
    gone = loop.create_future()

    def wait() -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(pid).wait()
        with contextlib.suppress(RuntimeError):  # the hub has ended
            loop.call_soon_threadsafe(_settle, gone)

    threading.Thread(target=wait, name=f"flwr-exit-of-{pid}", daemon=True).start()
    await gone


def _settle(gone: "asyncio.Future[None]") -> None:
    if not gone.done():
        gone.set_result(None)
