"""The parent's side of the workers: hands out messages, takes replies, survives crashes.

Any thread may submit tasks and pump; one at a time waits on the sockets, the others wait for it
to bring news. Nothing sleeps or polls.
"""

import contextlib
import heapq
import itertools
import logging
import selectors
import signal
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flwr.app import Error, Message, RecordDict
from flwr.app.error import ErrorCode
from flwr.errors import AppLoadError, EngineError
from flwr.log import log
from flwr.runtime import protocol, zygote
from flwr.runtime.channel import MOST_FDS, Channel, Received
from flwr.runtime.codec import (
    Frames,
    ReceivedLayouts,
    SentLayouts,
    open_content,
)
from flwr.runtime.launch import ZygoteHandle
from flwr.runtime.protocol import (
    Announced,
    Announcement,
    Batch,
    Content,
    Grant,
    Item,
    Need,
    Result,
    Results,
)
from flwr.runtime.segments import Bytes, Held, Segment, SegmentPool
from flwr.runtime.spill import SpillFile
from flwr.runtime.tasks import Lease, Outgoing, OutgoingArrays, Task
from flwr.runtime.worker import open_status
from flwr.wire import records as wire_records

_BATCH_SECONDS = (0.0007, 0.003)  # client time that one dispatch carries: a wake-up costs 0.1 ms
_QUICK = 0.002  # seconds of client time below which messages are batched, and sent ahead
_AHEAD_BYTES = 64 << 10  # of a batch sent ahead: it must fit into the socket, or both ends wait
_ITEM_BYTES = 300
_MOST_ATTEMPTS = 3
_FREE_SLOT_BYTES = 64 << 20  # up to this much, and so many, held replies stay in shared memory
_FREE_SLOTS = 64
_LONGEST_CLOSE = 2.0  # seconds


@dataclass(eq=False)
class _WorkerProcess:
    """What the parent knows of one worker."""

    index: int
    channel: Channel
    status: Any
    sent_layouts: SentLayouts = field(default_factory=SentLayouts)
    received_layouts: ReceivedLayouts = field(default_factory=ReceivedLayouts)
    mapped: set[int] = field(default_factory=set)
    running: dict[int, Task] = field(default_factory=dict)
    batches: deque[int] = field(default_factory=deque)  # tasks left of each, the current one first
    pid: int = 0


@dataclass
class StoredState:
    """A node's state, as its worker encoded it."""

    records: bytes
    frames: Bytes


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
    ) -> None:
        self._zygote = handle
        self._size = size
        self._setup = protocol.encode(protocol.Setup(run_id, dict(run_config or {})))
        self._environments = environments
        self._reload = reload
        self._fitting = fitting
        self._lock = threading.RLock()
        self._turn = threading.Condition()
        self._driving = False
        self._news = 0
        self._selector = selectors.DefaultSelector()
        self._selector.register(handle.channel, selectors.EVENT_READ, None)
        self._workers: dict[int, _WorkerProcess] = {}
        self._idle: list[_WorkerProcess] = []
        self._numbers = itertools.count()
        self._queue: list[tuple[int, Task]] = []
        self._waiting_for_node: dict[int, deque[Task]] = {}
        self._busy_nodes: set[int] = set()
        self._states: dict[int, StoredState] = {}
        self._segments = SegmentPool()
        self._spill = SpillFile()
        self._pace: dict[str, float] = {}
        self._reply_bytes: dict[str, int] = {}
        self._closed = False
        self._unfinished = 0
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
                task.seq = next(self._numbers)
                self._unfinished += 1
                if task.node_id in self._busy_nodes:
                    self._waiting_for_node.setdefault(task.node_id, deque()).append(task)
                else:
                    self._busy_nodes.add(task.node_id)
                    heapq.heappush(self._queue, (task.seq, task))
            self._dispatch()

    def cancel(self, tasks: Iterable[Task]) -> None:
        """Answer none of these any more; those not handed out yet never run."""
        with self._lock:
            for task in tasks:
                task.cancelled = True

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
            self._driving = True
        try:
            events = self._selector.select(timeout)
            with self._lock:
                for key, _ in events:
                    if key.data is not self._wake_out:
                        self._hear(key.data)
                self._dispatch()
        finally:
            with self._turn:
                self._driving = False
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
                    lambda: self._closed or (self._unfinished > 0 and not self._driving)
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
        with self._turn:
            if self._closed:
                return
            self._closed = True
            self._wake_in.send(b"x")
            self._turn.notify_all()
        for worker in list(self._workers.values()):  # nobody goes on waiting for them
            with contextlib.suppress(OSError):
                worker.channel.sock.shutdown(socket.SHUT_RDWR)
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
            self._segments.close()

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
            self._size = fitting

    def _dispatch(self) -> None:
        while self._queue and not self._closed:
            worker = self._free_worker()
            if worker is None:
                return
            batch = self._next_batch(ahead=bool(worker.batches))
            if not batch:
                if not worker.batches:
                    self._idle.append(worker)
                return
            self._send(worker, batch)

    def _free_worker(self) -> _WorkerProcess | None:
        if not self._zygote.loaded:
            return None
        if self._idle:
            return self._idle.pop()
        if len(self._workers) < self._size:
            return self._start_worker()
        if self._is_quick(self._queue[0][1]):  # one batch ahead, so that no worker waits for us
            for worker in self._workers.values():
                if len(worker.batches) == 1:
                    return worker
        return None

    def _is_quick(self, task: Task) -> bool:
        """Whether messages like this one take no time worth speaking of, and little memory."""
        assert task.content is not None
        kind = task.metadata.message_type
        small = not task.content.large_bytes and not self._reply_bytes.get(kind)
        return small and self._pace.get(kind, 1.0) < _QUICK

    def _start_worker(self) -> _WorkerProcess:
        index = next(i for i in range(self._size) if i not in self._workers)
        status = Segment.create(8, 0)
        sock = self._zygote.start_worker(index, self._environments(index), status)
        status.close()
        worker = _WorkerProcess(index, Channel(sock), open_status(status))
        worker.channel.send(self._setup)
        self._selector.register(worker.channel, selectors.EVENT_READ, worker)
        self._workers[index] = worker
        return worker

    def _next_batch(self, *, ahead: bool = False) -> list[Task]:
        """Take the tasks that one dispatch should carry from the queue."""
        batch: list[Task] = []
        contents: set[int] = set()
        most, room = 1, _AHEAD_BYTES if ahead else 1 << 62
        while self._queue and len(batch) < most:
            task = self._queue[0][1]
            if task.cancelled:
                heapq.heappop(self._queue)
                self._unfinished -= 1
                self._node_is_free(task.node_id)
                continue
            room -= self._bytes_to_send(task, contents)
            if room < 0:
                break
            if not batch:
                most = self._batch_size(task)
            batch.append(heapq.heappop(self._queue)[1])
        return batch

    def _bytes_to_send(self, task: Task, contents: set[int]) -> int:
        """Return about how many bytes a task adds to a batch that has these contents."""
        nbytes = _ITEM_BYTES
        if id(task.content) not in contents:
            assert task.content is not None
            contents.add(id(task.content))
            nbytes += task.content.small_bytes
        stored = self._states.get(task.node_id)
        return nbytes if stored is None else nbytes + len(stored.records) + stored.frames.nbytes

    def _batch_size(self, task: Task) -> int:
        if not self._is_quick(task):
            return 1
        pace = max(self._pace[task.metadata.message_type], 1e-6)
        waiting = len(self._queue)
        others = len(self._idle) + self._size - len(self._workers)  # clients may be slower than
        fair = -(-waiting // (others + 1))  # they were: leave their share to workers with no work
        at_least, at_most = (int(seconds / pace) for seconds in _BATCH_SECONDS)
        return max(1, min(at_most, fair, max(at_least, -(-waiting // (2 * self._size)))))

    def _send(self, worker: _WorkerProcess, tasks: list[Task]) -> None:
        frames = Frames()
        items: list[Item] = []
        contents: list[Content] = []
        numbers: dict[int, int] = {}
        segments: list[Segment] = []
        for task in tasks:
            assert task.content is not None
            number = numbers.get(id(task.content))
            if number is None:
                number = numbers[id(task.content)] = len(contents)
                contents.append(self._place(worker, task.content, frames, segments))
            items.append(self._item(worker, task, number, frames, segments))
            worker.running[task.seq] = task
        worker.batches.append(len(tasks))
        live = {segment.key for segment in self._segments}
        retired = [key for key in worker.mapped if key not in live]
        worker.mapped.difference_update(retired)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # its end is told later
            while len(segments) > MOST_FDS:
                some, segments = segments[:MOST_FDS], segments[MOST_FDS:]
                worker.channel.send(protocol.encode(Announcement(_announced(some))), fds=_fds(some))
            new = worker.sent_layouts.take_new()
            batch = Batch(items, contents, new, _announced(segments), retired)
            worker.channel.send(protocol.encode(batch), frames.parts, _fds(segments))

    def _place(
        self, worker: _WorkerProcess, content: Outgoing, frames: Frames, segments: list[Segment]
    ) -> Content:
        places: list[protocol.Place] = []
        content.share(self._segments)
        for arrays in content.arrays:
            number = worker.sent_layouts.number(arrays.layout)
            if not arrays.is_large:
                places.append((number, 0, frames.add(arrays.bytes())))
                continue
            held = arrays.held()
            assert held is not None
            assert held.segment is not None
            self._announce(worker, held.segment, segments)
            places.append((number, held.segment.key, held.offset))
        return Content(content.records, places)

    def _item(
        self,
        worker: _WorkerProcess,
        task: Task,
        content: int,
        frames: Frames,
        segments: list[Segment],
    ) -> Item:
        assert task.content is not None
        for arrays in task.content.arrays:
            held = arrays.held()
            if held is not None and held.segment is not None:
                task.lease.append(Lease(held.segment))  # nothing moves while a worker reads it
        kind = task.metadata.message_type
        expected = self._reply_bytes.get(kind, task.content.large_bytes)
        slot = 0
        if expected:
            segment = self._lend_slot(worker, task, expected)
            self._announce(worker, segment, segments)
            slot = segment.key
        state = None
        stored = self._states.get(task.node_id)
        if stored is not None:
            offset = frames.add(stored.frames)
            state = protocol.State(stored.records, offset, stored.frames.nbytes)
        metadata = wire_records.encode_metadata(task.metadata)
        config = dict(task.node_config)
        return Item(task.seq, metadata, content, task.node_id, config, task.seed, state, slot)

    def _announce(self, worker: _WorkerProcess, segment: Segment, segments: list[Segment]) -> None:
        if segment.key not in worker.mapped:
            worker.mapped.add(segment.key)
            segments.append(segment)

    def _lend_slot(self, worker: _WorkerProcess, task: Task, nbytes: int) -> Segment:
        """Return a segment for a reply's arrays; held replies are spilled to make room."""
        in_use = [s for s in self._segments if s.turn is not None and s.in_use]
        many = len(in_use) > self._size + _FREE_SLOTS
        much = len(in_use) > self._size and sum(s.nbytes for s in in_use) > _FREE_SLOT_BYTES
        if many or much:
            self._spill_one(in_use)
        segment = self._segments.take(nbytes, prefer=worker.mapped)
        segment.turn = task.seq
        task.lease.append(Lease(segment))
        return segment

    def _spill_one(self, in_use: list[Segment]) -> None:
        """Move the reply that will be read last, of those that nobody is reading, to a file."""
        for segment in sorted(in_use, key=lambda s: s.turn or 0, reverse=True):
            holders = segment.holders()
            if holders and all(isinstance(holder, Held) for holder in holders):
                for holder in holders:
                    assert isinstance(holder, Held)
                    holder.move(self._spill.put)
                return

    # -- taking back

    def _hear(self, worker: _WorkerProcess | None) -> None:
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

    def _drain(self, worker: _WorkerProcess) -> bool:
        """Take what a worker has sent; ``False`` says that its channel is closed."""
        try:
            for received in worker.channel.arrived():
                message = protocol.decode_from_worker(received.header)
                if isinstance(message, Need):
                    self._grant(worker, message)
                else:
                    self._take(worker, message, received)
        except EOFError:
            return False
        return True

    def _grant(self, worker: _WorkerProcess, need: Need) -> None:
        task = worker.running[need.seq]
        kind = task.metadata.message_type
        self._reply_bytes[kind] = max(self._reply_bytes.get(kind, 0), need.nbytes)
        segments: list[Segment] = []
        segment = self._lend_slot(worker, task, need.nbytes)
        self._announce(worker, segment, segments)
        grant = Grant(segment.key, _announced(segments))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            worker.channel.send(protocol.encode(grant), fds=_fds(segments))

    def _take(self, worker: _WorkerProcess, results: Results, received: Received) -> None:
        worker.received_layouts.add(results.layouts)
        by_key = {segment.key: segment for segment in self._segments}
        for key in results.kept:
            if key in by_key:
                self._segments.retire(by_key[key])
        for result in results.results:
            task = worker.running.pop(result.seq, None)
            if task is not None:
                self._finish(worker, task, result, received.frames, by_key)
                worker.batches[0] -= 1
                if not worker.batches[0]:
                    worker.batches.popleft()
        if not worker.batches:
            self._idle.append(worker)

    def _finish(
        self,
        worker: _WorkerProcess,
        task: Task,
        result: Result,
        frames: Bytes,
        by_key: dict[int, Segment],
    ) -> None:
        kind = task.metadata.message_type
        pace = self._pace.get(kind, result.seconds)
        self._pace[kind] = 0.7 * pace + 0.3 * result.seconds
        reply: Message | Error
        if result.error is not None:
            reply = Error(*result.error)
            if result.metadata is not None:
                metadata = wire_records.decode_metadata(result.metadata)
                reply = Message(metadata=metadata, error=reply)
        else:
            assert result.content is not None
            assert result.metadata is not None
            content = open_content(result.content, worker.received_layouts, frames, slot=by_key)
            large = 0
            for _, key, _ in result.content.arrays:
                if key:
                    large = max(large, by_key[key].nbytes)
            self._reply_bytes[kind] = large
            reply = Message(metadata=wire_records.decode_metadata(result.metadata), content=content)
        self._store_state(task.node_id, result.state, frames)
        if result.slot_kept:
            for lease in task.lease:
                if lease.segment.turn == task.seq:
                    self._segments.retire(lease.segment)
        self._answer(task, reply, result.seconds)

    def _store_state(self, node_id: int, state: protocol.State | None, frames: Bytes) -> None:
        if state is None:
            return
        if not state.records:
            self._states.pop(node_id, None)
            return
        part = frames[state.offset : state.offset + state.nbytes].copy()
        self._states[node_id] = StoredState(state.records, part)

    def _answer(self, task: Task, reply: Message | Error, seconds: float) -> None:
        self._unfinished -= 1
        self._node_is_free(task.node_id)
        task.finish(reply, seconds)

    def _node_is_free(self, node_id: int) -> None:
        waiting = self._waiting_for_node.get(node_id)
        if waiting:
            task = waiting.popleft()
            heapq.heappush(self._queue, (task.seq, task))
        else:
            self._waiting_for_node.pop(node_id, None)
            self._busy_nodes.discard(node_id)

    def _bury(self, worker: _WorkerProcess, status: int) -> None:
        """Deal with a worker that is gone: one task failed, the rest of its batch goes on."""
        del self._workers[worker.index]
        with contextlib.suppress(ValueError):
            self._idle.remove(worker)
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(worker.channel)
        worker.channel.close()
        culprit = int(worker.status[0]) - 1
        for task in sorted(worker.running.values(), key=lambda task: task.seq):
            task.attempts += 1
            task.lease.clear()
            if task.seq == culprit or task.attempts >= _MOST_ATTEMPTS:
                reason = describe_end(status, worker.pid)
                self._answer(task, Error(ErrorCode.CLIENT_APP_CRASHED, reason), 0.0)
            else:
                heapq.heappush(self._queue, (task.seq, task))
        worker.running.clear()


def _announced(segments: list[Segment]) -> list[Announced]:
    return [Announced(segment.key, segment.nbytes) for segment in segments]


def _fds(segments: list[Segment]) -> list[int]:
    return [segment.fd for segment in segments]


def describe_end(status: int, pid: int) -> str:
    """Say how a worker process ended."""
    if status < 0:
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = f"signal {-status}"
        why = f"was ended by {name}"
        if name == "SIGKILL":
            why += " (often the system's out-of-memory killer)"
    else:
        why = f"exited with status {status}"
    return f"WorkerCrashed: the worker process {pid} {why} while it handled this message."
