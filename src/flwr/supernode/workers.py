"""A run's ClientApp in a warm worker process, which handles one message after the other."""

import contextlib
import functools
import hashlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import numpy as np

from flwr.app import Error, Message, Metadata, RecordDict, memory
from flwr.app.error import ErrorCode
from flwr.config import AppConfig
from flwr.errors import (
    AppLoadError,
    ConfigError,
    EngineError,
    FabError,
    ParcelError,
    RefusedError,
)
from flwr.log import log
from flwr.runtime import bodies
from flwr.runtime.codec import INLINE_LIMIT, StoredState
from flwr.runtime.handler import as_text
from flwr.runtime.launch import ZygoteHandle
from flwr.runtime.pool import WorkerPool
from flwr.runtime.segments import Bytes, Held
from flwr.runtime.tasks import Task
from flwr.transport.call import Refusal
from flwr.transport.clientio import Job
from flwr.transport.parts import Body, Fault, RunSheet
from flwr.wire.content import seal_content
from flwr.wire.records import decode_metadata

_MOST_ATTEMPTS = 3  # at a message, with new workers
_MOST_KILLS = 10  # of the process that starts them, from outside, which is no message's doing
_LOST = (Refusal.UNKNOWN_OBJECT, Refusal.WRONG_HASH, Refusal.NOT_ALLOWED)  # of objects
_decode = msgspec.msgpack.Decoder().decode


@dataclass(frozen=True)
class Outcome:
    """What became of a message.

    Attributes
    ----------
    metadata : Metadata
        Of the reply, as the app left them.
    body : Body, optional
        Its content; large parts are kept.
    fault : Fault, optional
        What it says instead.
    state : StoredState, optional
        The context's state afterwards.
    changed : bool
        Whether that is another than before.
    seconds : float
        That the app worked.
    """

    metadata: Metadata
    body: Body | None = None
    fault: Fault | None = None
    state: StoredState | None = None
    changed: bool = False
    seconds: float = 0.0


class Executor(Protocol):
    """What handles a run's messages: a worker of this process, or of another one."""

    def execute(
        self, job: Job, state: Callable[[], StoredState | None], stopped: Callable[[], bool]
    ) -> Outcome | None:
        """Handle a message; ``None`` if it was stopped.

        Parameters
        ----------
        job : Job
            The message.
        state : callable
            Returns the context's state; only asked if it is not at hand.
        stopped : callable
            Whether nobody waits for the outcome.
        """

    def interrupt(self) -> None:
        """End what is being done, at once; called from another thread."""

    def close(self) -> None:
        """Give everything back."""


class Worker(Protocol):
    """What has loaded an app and handles one message at a time, as :class:`AppWorker` does."""

    closed: bool

    @property
    def killed(self) -> bool:
        """Whether it was ended from outside."""

    def put_state(self, node_id: int, state: StoredState | None) -> None:
        """Let the node's next message begin with this state."""

    def receive(self, body: Body, fetch: bodies.Fetch) -> RecordDict:
        """Return the content of a message."""

    def handle(self, message: Message, node_config: Mapping[str, Any], seed: int) -> "Handled":
        """Hand a message to the app and wait for its reply."""

    def close(self) -> None:
        """End, whatever it does."""


class LocalExecutor:
    """Handles a run's messages in a worker of our own, started when it is needed.

    Parameters
    ----------
    start : callable
        Starts the worker, see `workers_of`.
    fetch, keep : callable
        Get and keep the large parts of contents.
    state_is_ours : bool
        Whether nobody else handles messages of the same run and node: the state that the last
        message left is the one for the next.
    """

    def __init__(
        self,
        start: Callable[[], Worker],
        fetch: bodies.Fetch,
        keep: bodies.Keep,
        *,
        state_is_ours: bool = True,
    ) -> None:
        self._state_is_ours = state_is_ours
        self._start = start
        self._fetch = fetch
        self._keep = keep
        self._worker: Worker | None = None

    def execute(
        self, job: Job, state: Callable[[], StoredState | None], stopped: Callable[[], bool]
    ) -> Outcome | None:
        """Handle a message; ``None`` if it was stopped."""
        metadata = decode_metadata(_decode(job.meta))
        attempts = kills = 0
        while True:
            try:
                return self._attempt(job, metadata, state, stopped)
            except EngineError as error:
                worker = self._worker
                self.close()
                if stopped():
                    return None
                killed = worker is not None and worker.killed
                attempts, kills = attempts + (not killed), kills + killed
                if attempts == _MOST_ATTEMPTS or kills == _MOST_KILLS:
                    return failed(metadata, ErrorCode.CLIENT_APP_CRASHED, str(error))
                log(logging.WARNING, "Message %s begins anew: %s", job.message_id, error)
            except (AppLoadError, ConfigError, FabError) as error:
                self.close()
                return failed(metadata, ErrorCode.LOAD_CLIENT_APP_EXCEPTION, str(error))
            except (ParcelError, RefusedError) as error:
                if isinstance(error, RefusedError) and error.code not in _LOST:
                    raise
                reason = f"The message cannot be read: {error}"
                return failed(metadata, ErrorCode.MESSAGE_UNAVAILABLE, reason)
            except BaseException:  # whatever it was: the next message gets a new worker
                self.close()
                raise

    def _attempt(
        self,
        job: Job,
        metadata: Metadata,
        state: Callable[[], StoredState | None],
        stopped: Callable[[], bool],
    ) -> Outcome | None:
        worker = self._ready_worker(job.node_id, state)
        content = worker.receive(job.body, self._fetch)
        if stopped():
            return None
        message = Message(metadata=metadata, content=content)
        handled = worker.handle(message, job.node_config, job.seed)
        return None if stopped() else self._sealed(message, handled)

    def interrupt(self) -> None:
        """End the worker's process, whatever it does; called from another thread."""
        worker = self._worker
        if worker is not None:  # in a thread: nobody waits for a process to end
            threading.Thread(target=worker.close, name="close worker", daemon=True).start()

    def close(self) -> None:
        """End the worker's process."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()

    def _ready_worker(self, node_id: int, state: Callable[[], StoredState | None]) -> Worker:
        if self._worker is None or self._worker.closed:
            worker = self._start()
            worker.put_state(node_id, state())
            self._worker = worker
        elif not self._state_is_ours:
            self._worker.put_state(node_id, state())
        return self._worker

    def _sealed(self, message: Message, handled: "Handled") -> Outcome:
        reply = handled.reply
        if isinstance(reply, Error):
            reply = Message(reply, reply_to=message)
        fault: Fault | None = None
        body: Body | None = None
        if reply.has_error():
            fault = Fault(reply.error.code, as_text(reply.error.reason))
        else:
            body = bodies.pack(seal_content(reply.content), self._keep)
        return Outcome(reply.metadata, body, fault, handled.state, handled.changed, handled.seconds)


@dataclass(frozen=True)
class Handled:
    """What a worker did with a message.

    Attributes
    ----------
    reply : Message or Error
        What the app answered; its arrays may lie in memory of the worker, until it is dropped.
    seconds : float
        That the app worked.
    state : StoredState, optional
        The context's state afterwards.
    changed : bool
        Whether that is another than before.
    """

    reply: Message | Error
    seconds: float
    state: StoredState | None
    changed: bool


class AppWorker:
    """One ClientApp, loaded once, in a process of its own that stays for the next message.

    Parameters
    ----------
    sheet : RunSheet
        The run.
    app : AppConfig
        Its app, unpacked.
    threads : int
        That numerical libraries in the worker may use.
    """

    def __init__(self, sheet: RunSheet, app: AppConfig, threads: int) -> None:
        zygote = ZygoteHandle(threads=threads)
        zygote.load(component=app.clientapp, app_dir=app.app_dir)
        self._pool = WorkerPool(
            zygote, 1, run_id=sheet.run_id, run_config=sheet.run_config, retry_killed=True
        )
        self._zygote = zygote
        self._closing = threading.Lock()
        self.closed = False

    @property
    def killed(self) -> bool:
        """Whether the process that starts the worker was ended by SIGKILL."""
        return self._zygote.status == -signal.SIGKILL

    def put_state(self, node_id: int, state: StoredState | None) -> None:
        """Let the node's next message begin with this state."""
        self._pool.put_state(node_id, state)

    def receive(self, body: Body, fetch: bodies.Fetch) -> RecordDict:
        """Return the content of a message; large records lie in memory that the worker sees."""
        places: dict[int, Held] = {}

        def allocate(nbytes: int) -> Bytes:
            if nbytes < INLINE_LIMIT:
                return memory.allocate(nbytes)
            held = self._pool.room(nbytes)
            assert held.segment is not None
            array = held.segment.open(0, nbytes, writable=True)
            places[array.ctypes.data] = held
            return array

        content = bodies.unpack(body, fetch, allocate)
        for record in content.array_records.values():
            backing = memory.backing_of(record)
            if isinstance(backing, np.ndarray) and backing.ctypes.data in places:
                memory.rebase(record, places[backing.ctypes.data])
        return content

    def handle(self, message: Message, node_config: Mapping[str, Any], seed: int) -> Handled:
        """Hand a message to the app and wait for its reply.

        Raises
        ------
        AppLoadError
            If the app does not load.
        EngineError
            If the worker was closed meanwhile, or cannot be started.
        """
        answers: list[tuple[Message | Error, float]] = []

        def answer(_: Task, reply: Message | Error, seconds: float) -> None:
            answers.append((reply, seconds))

        node_id = message.metadata.dst_node_id
        before = self._pool.state_of(node_id)
        try:
            self._pool.submit([Task(message, node_config, seed, answer)])
            while not answers:
                self._pool.pump(None, self._pool.news)
        except OSError as error:
            raise EngineError(f"The process that starts workers is gone: {error}") from error
        except (ValueError, KeyError) as error:
            if self.closed:  # under our hands, by the thread that stops it
                raise EngineError("The worker was stopped.") from error
            raise
        after = self._pool.state_of(node_id)
        return Handled(*answers[0], after, after is not before)

    def close(self) -> None:
        """End the process, whatever it does."""
        with self._closing:
            if not self.closed:
                self.closed = True
                with contextlib.suppress(OSError):
                    self._pool.close()


def workers_of(
    sheet: Callable[[], RunSheet], app: Callable[[RunSheet], AppConfig], threads: int
) -> Callable[[], AppWorker]:
    """Return what starts workers for a run.

    Parameters
    ----------
    sheet : callable
        Returns the run's description; asked once.
    app : callable
        Returns the run's app.
    threads : int
        That numerical libraries in a worker may use.
    """
    described = functools.cache(sheet)
    return lambda: AppWorker(described(), app(described()), threads)


def failed(metadata: Metadata, code: int, reason: str) -> Outcome:
    """Return the outcome of a message that no app has handled."""
    asked = Message(metadata=metadata, error=Error(code))
    answer = Message(Error(code, reason), reply_to=asked)
    return Outcome(answer.metadata, fault=Fault(code, as_text(reason)))


def seed_of(message_id: str) -> int:
    """Return the seed for a message: the same whenever it is handled."""
    return int.from_bytes(hashlib.sha256(message_id.encode()).digest()[:8], "big")


def threads_for(concurrent: int) -> int:
    """Return how many threads each of so many workers may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)) // concurrent)
    return max(1, (os.cpu_count() or 1) // concurrent)
