"""The parent's side of the workers: hands out messages, takes replies, survives crashes.

Any thread may submit tasks and pump; one at a time waits on the sockets, the others wait for it
to bring news. Nothing sleeps or polls.
"""

import contextlib
import logging
import selectors
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from flwr.app import Error, Message, RecordDict
from flwr.app.error import ErrorCode
from flwr.errors import AppLoadError, EngineError
from flwr.log import log
from flwr.runtime import protocol, zygote
from flwr.runtime.channel import Channel
from flwr.runtime.codec import StoredState
from flwr.runtime.handout import HandOut
from flwr.runtime.launch import ZygoteHandle
from flwr.runtime.protocol import Need
from flwr.runtime.schedule import Pace, TaskQueue
from flwr.runtime.segments import Held, Segment
from flwr.runtime.slots import HELD_BYTES, Slots
from flwr.runtime.takeback import TakeBack
from flwr.runtime.tasks import Outgoing, OutgoingArrays, Task
from flwr.runtime.worker import open_status
from flwr.runtime.workerprocess import WorkerProcess, describe_end

_AHEAD_BYTES = 64 << 10  # of a batch sent ahead: it must fit into the socket, or both ends wait
_MOST_ATTEMPTS = 3
_LONGEST_CLOSE = 2.0  # seconds


class WorkerPool:
    """Warm worker processes that handle tasks.

    Parameters
    ----------
    handle : ZygoteHandle
        The zygote, with its app being loaded.
    size : int
        The most workers.
    run_id, run_config
        Of the run that all tasks belong to.
    environments : callable, optional
        Environment variables for the worker of an index (its share of the GPUs).
    reload : callable, optional
        Called when the app does not load, to try another way; returns whether there is one.
    fitting : callable, optional
        How many workers there is memory for, given the bytes of a model.
    together_bytes : int
        What may stay in shared memory of replies that are known to be held together; of others
        64 MiB. More goes to a file.
    retry_killed : bool
        Whether a message whose worker was ended by SIGKILL, which an app does not do to itself,
        is handed out again (three times in all) before it counts as crashed.
    """

    def __init__(
        self,
        handle: ZygoteHandle,
        size: int,
        *,
        run_id: int = 0,
        run_config: Mapping[str, Any] | None = None,
        environments: Callable[[int], Mapping[str, str]] = lambda _: {},
        reload: Callable[[], bool] = lambda: False,
        fitting: Callable[[int], int] | None = None,
        together_bytes: int = HELD_BYTES,
        retry_killed: bool = False,
    ) -> None:
        self._retry_killed = retry_killed
        self._zygote = handle
        self._size = size
        self._setup = protocol.encode(protocol.Setup(run_id, dict(run_config or {})))
        self._environments = environments
        self._reload = reload
        self._fitting = fitting
        self._lock = threading.RLock()
        self._turn = threading.Condition()
        self._driving = 0  # the thread that waits on the sockets
        self._news = 0
        self._selector = selectors.DefaultSelector()
        self._selector.register(handle.channel, selectors.EVENT_READ, None)
        self._workers: dict[int, WorkerProcess] = {}
        self._idle: list[WorkerProcess] = []
        self._queue = TaskQueue()
        self._pace = Pace()
        self._slots = Slots(size, together_bytes)
        self._states: dict[int, StoredState] = {}
        self._hand_out = HandOut(self._slots, self._states, self._pace)
        self._take_back = TakeBack(self._slots, self._states, self._pace)
        self._closed = False
        self._driver: threading.Thread | None = None
        self._failure: Exception | None = None
        self._told_about_exec = False
        self._wake_in, self._wake_out = socket.socketpair()
        self._selector.register(self._wake_out, selectors.EVENT_READ, self._wake_out)

    # -- what callers use

    @property
    def news(self) -> int:
        """A number that changes when something has happened."""
        return self._news

    def submit(self, tasks: Iterable[Task]) -> None:
        """Take tasks, in order; a content shared by several is encoded once."""
        contents: dict[int, Outgoing] = {}
        arrays: dict[int, OutgoingArrays] = {}
        kept: list[RecordDict] = []
        with self._lock:
            self._check_open()
            for task in tasks:
                content = task.take_content()
                outgoing = contents.get(id(content))
                if outgoing is None:
                    outgoing = contents[id(content)] = Outgoing(content, arrays)
                    kept.append(content)  # an id is its own only while the object lives
                    if self._fitting is not None and outgoing.large_bytes:
                        self._limit(self._fitting(outgoing.large_bytes))
                outgoing.used()
                task.content = outgoing
                self._queue.add(task)
            self._dispatch()

    def cancel(self, tasks: Iterable[Task]) -> None:
        """Answer none of these any more; those not handed out yet never run."""
        with self._lock:
            for task in tasks:
                task.cancelled = True

    def state_of(self, node_id: int) -> StoredState | None:
        """Return the state that a node's last message left, another object after each change."""
        with self._lock:
            return self._states.get(node_id)

    def put_state(self, node_id: int, state: StoredState | None) -> None:
        """Let a node's next message begin with this state; ``None`` is an empty one."""
        with self._lock:
            if state is None:
                self._states.pop(node_id, None)
            else:
                self._states[node_id] = state

    def room(self, nbytes: int) -> Held:
        """Return shared memory for a record that will be sent: one that lies there is not copied.

        The record is rebased on it (`flwr.app.memory.rebase`) once the bytes are written.
        """
        with self._lock:
            self._check_open()
            return Held(self._slots.segments.take(nbytes), nbytes)

    def pump(self, timeout: float | None, seen: int) -> None:
        """Wait for something to happen after ``news`` was ``seen``, and deal with it.

        Parameters
        ----------
        timeout : float, optional
            The longest wait in seconds; ``None`` waits for as long as it takes.
        seen : int
            What ``news`` was when the caller last looked.
        """
        with self._turn:
            if self._failure is not None:
                raise self._failure
            self._check_open()
            if self._news != seen:
                return
            if self._driving:
                self._turn.wait(timeout)
                return
            self._driving = threading.get_ident()
        try:
            events = self._selector.select(timeout)
            with self._lock:
                for key, _ in events:
                    if key.data is not self._wake_out:
                        self._hear(key.data)
                self._dispatch()
        finally:
            with self._turn:
                self._driving = 0
                self._news += 1
                self._turn.notify_all()

    def _check_open(self) -> None:
        if self._closed:
            raise EngineError("The run has ended: its grid can send and receive nothing more.")

    def keep_going(self) -> None:
        """Let tasks go on while nobody pumps: a thread does so when nobody else does."""
        with self._turn:
            if self._driver is None and not self._closed:
                self._driver = threading.Thread(target=self._drive, name="flwr-pool", daemon=True)
                self._driver.start()
            self._turn.notify_all()

    def _drive(self) -> None:
        while True:
            with self._turn:
                self._turn.wait_for(
                    lambda: self._closed or (self._queue.unfinished > 0 and not self._driving)
                )
                if self._closed:
                    return
                seen = self._news
            try:
                self.pump(None, seen)
            except Exception as error:
                self._failure = error  # raised where somebody waits for replies
                return

    def close(self) -> None:
        """End the workers and the zygote; records already handed out stay readable."""
        me = threading.get_ident()  # an answer that closes the pool comes from whoever pumps
        with self._turn:
            if self._closed:
                return
            self._closed = True
            self._wake_in.send(b"x")
            self._turn.notify_all()
        for worker in list(self._workers.values()):  # nobody goes on waiting for them
            with contextlib.suppress(OSError):
                worker.channel.sock.shutdown(socket.SHUT_RDWR)
        with self._turn:  # a selector whose sockets are closed under it waits for ever
            self._turn.wait_for(lambda: self._driving in (0, me), _LONGEST_CLOSE)
        if self._driver is not None:
            self._driver.join(_LONGEST_CLOSE)
        with self._lock:
            self._selector.close()
            self._wake_in.close()
            self._wake_out.close()
            self._zygote.close()
            for worker in self._workers.values():
                worker.channel.close()
            self._workers.clear()
            self._slots.segments.close()

    # -- handing out

    def _limit(self, fitting: int) -> None:
        """Start no more workers than the memory allows, as seen at the first large model."""
        self._fitting = None
        if fitting < self._size:
            log(
                logging.WARNING,
                "%d of %d workers are started: there is memory for no more with this model.",
                fitting,
                self._size,
            )
            self._size = self._slots.workers = fitting

    def _dispatch(self) -> None:
        while not self._closed and (task := self._queue.first()) is not None:
            worker = self._free_worker(task)
            if worker is None:
                return
            batch = self._next_batch(ahead=bool(worker.batches))
            if not batch:
                return
            self._hand_out.send(worker, batch)

    def _free_worker(self, task: Task) -> WorkerProcess | None:
        """Return a worker for the task that is first."""
        if not self._zygote.loaded:
            return None
        if self._idle:
            return self._idle.pop()
        if len(self._workers) < self._size:
            return self._start_worker()
        if self._pace.is_quick(task):  # one batch ahead, so that no worker waits for us
            for worker in self._workers.values():
                if len(worker.batches) == 1:
                    return worker
        return None

    def _start_worker(self) -> WorkerProcess:
        index = next(i for i in range(self._size) if i not in self._workers)
        status = Segment.create(8, 0)
        sock = self._zygote.start_worker(index, self._environments(index), status)
        status.close()
        worker = WorkerProcess(index, Channel(sock), open_status(status))
        worker.channel.send(self._setup)
        self._selector.register(worker.channel, selectors.EVENT_READ, worker)
        self._workers[index] = worker
        return worker

    def _next_batch(self, *, ahead: bool) -> list[Task]:
        """Take the tasks that one dispatch should carry; none if the first is too large."""
        batch: list[Task] = []
        contents: set[int] = set()
        most, room = 1, _AHEAD_BYTES if ahead else 1 << 62
        while len(batch) < most and (task := self._queue.first()) is not None:
            room -= self._hand_out.nbytes(task, contents)
            if room < 0:
                break
            if not batch:
                free = len(self._idle) + self._size - len(self._workers)
                most = self._pace.batch_size(task, len(self._queue), self._size, free)
            batch.append(self._queue.take())
        return batch

    # -- taking back

    def _hear(self, worker: WorkerProcess | None) -> None:
        if worker is None:
            for message in self._zygote.arrived():
                self._hear_zygote(message)
            return
        if self._workers.get(worker.index) is not worker:  # buried by an event before this one
            return
        if self._drain(worker):
            return
        # The end of its channel; how the process ended is told by the zygote.
        self._selector.unregister(worker.channel)

    def _hear_zygote(self, message: zygote.FromZygote) -> None:
        if isinstance(message, zygote.Loaded):
            if not message.failure:
                self._zygote.loaded = True
            elif not self._reload():
                raise AppLoadError(f"The ClientApp does not load: {message.failure}")
            return
        worker = self._workers.get(message.index)
        if worker is None:
            return
        if isinstance(message, zygote.Started):
            worker.pid = message.pid
            self._say_how(message)
            return
        self._drain(worker)
        self._bury(worker, message.status)

    def _say_how(self, started: zygote.Started) -> None:
        if not started.forked and not self._told_about_exec:
            self._told_about_exec = True
            log(
                logging.INFO,
                "Workers are started anew, not forked: loading the ClientApp started threads or "
                "used a GPU. Each loads the app for itself.",
            )

    def _drain(self, worker: WorkerProcess) -> bool:
        """Take what a worker has sent; ``False`` says that its channel is closed."""
        try:
            for received in worker.channel.arrived():
                message = protocol.decode_from_worker(received.header)
                if isinstance(message, Need):
                    self._hand_out.grant(worker, message)
                else:
                    self._take_back.take(worker, message, received, self._answer)
                    if not worker.batches:
                        self._idle.append(worker)
        except EOFError:
            return False
        return True

    def _answer(self, task: Task, reply: Message | Error, seconds: float) -> None:
        self._queue.done(task)
        task.finish(reply, seconds)

    def _bury(self, worker: WorkerProcess, status: int) -> None:
        """Deal with a worker that is gone: one task failed, the rest of its batch goes on."""
        del self._workers[worker.index]
        with contextlib.suppress(ValueError):
            self._idle.remove(worker)
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(worker.channel)
        worker.channel.close()
        for task in sorted(worker.running.values(), key=lambda task: task.seq):
            task.attempts += 1
            task.lease.clear()
            forgiven = self._retry_killed and status == -signal.SIGKILL
            blamed = task.seq == worker.culprit and not forgiven
            if blamed or task.attempts >= _MOST_ATTEMPTS:
                reason = describe_end(status, worker.pid)
                self._answer(task, Error(ErrorCode.CLIENT_APP_CRASHED, reason), 0.0)
            else:
                self._queue.put_back(task)
        worker.running.clear()
