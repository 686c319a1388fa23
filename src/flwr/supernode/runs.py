"""The runs that a node works for: a thread each, which handles its messages in their order."""

import hashlib
import logging
import queue
import threading
import uuid
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from flwr import clock
from flwr.app import Error, Message, Metadata, RecordDict
from flwr.app.error import ErrorCode
from flwr.config import AppConfig
from flwr.errors import (
    AppLoadError,
    ConfigError,
    EngineError,
    FabError,
    HomeError,
    LinkError,
    ParcelError,
    RefusedError,
)
from flwr.log import log
from flwr.runtime import bodies
from flwr.runtime.handler import as_text, describe
from flwr.supernode.agent import Instruction
from flwr.supernode.cache import ObjectCache
from flwr.supernode.spool import Spool
from flwr.supernode.workers import AppWorker, Handled
from flwr.transport.call import Refusal
from flwr.transport.fleet import Reply, Work
from flwr.transport.parts import Body, Fault, RunSheet
from flwr.wire.content import seal_content
from flwr.wire.records import decode_metadata, encode_metadata

_MOST_ATTEMPTS = 3  # at a message, with new workers
_SUPERLINK_NODE_ID = 1
_GONE = (Refusal.RUN_ENDED, Refusal.UNKNOWN_RUN)  # nobody waits for a reply
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class Desk(Protocol):
    """What a run needs of its node."""

    node_id: int
    node_config: Mapping[str, Any]
    spool: Spool
    cache: ObjectCache
    threads: int
    idle_seconds: float
    places: threading.Semaphore  # one for each message that may be handled at once

    def describe_run(self, run_id: int) -> RunSheet:
        """Ask the hub for a run's description."""

    def app_of(self, sheet: RunSheet) -> AppConfig:
        """Return a run's app, fetching it first if need be."""

    def spooled(self, reply: Reply) -> None:
        """Send a reply that is on disk."""

    def give_up(self, message_id: str) -> None:
        """Hand a message back."""

    def retire(self, run: "NodeRun") -> bool:
        """Forget a run that has been idle; ``False`` if it has got work meanwhile."""

    def fail(self, error: BaseException) -> None:
        """End the node for a reason that has no cure."""


class NodeRun:
    """One run on this node: its app, its context, and the messages it has got.

    Parameters
    ----------
    run_id : int
        The run.
    desk : Desk
        Its node.
    """

    def __init__(self, run_id: int, desk: Desk) -> None:
        self.run_id = run_id
        self._desk = desk
        self._queue: queue.SimpleQueue[Instruction | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._stopped: set[str] = set()
        self._waiting: set[str] = set()
        self._ended = False
        self._running = ""
        self._worker: AppWorker | None = None
        self._sheet: RunSheet | None = None
        self._thread = threading.Thread(target=self._work, name=f"run {run_id}", daemon=True)
        self._thread.start()

    # -- for the node's threads

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
            self._close_worker()

    def end(self) -> None:
        """Stop everything; the worker's process ends at once."""
        with self._lock:
            self._ended = True
        self._queue.put(None)
        self._close_worker()

    @property
    def idle(self) -> bool:
        """Whether there is no message."""
        return not self._waiting

    def join(self, timeout: float) -> None:
        """Wait for the end."""
        self._thread.join(timeout)

    def _close_worker(self) -> None:
        worker = self._worker
        if worker is not None:  # by another thread: nobody waits for a process to end
            threading.Thread(target=worker.close, name="close worker", daemon=True).start()

    # -- the run's own thread

    def _work(self) -> None:
        try:
            while not self._ended:
                try:
                    instruction = self._queue.get(timeout=self._desk.idle_seconds)
                except queue.Empty:
                    if self._desk.retire(self):
                        return
                    continue
                if instruction is not None:
                    self._take(instruction)
        except BaseException as error:  # the node must not go on without this thread
            self._desk.fail(error)
        finally:
            if self._worker is not None:
                self._worker.close()

    def _take(self, instruction: Instruction) -> None:
        message_id = instruction.message_id
        with self._lock:
            self._running = message_id
        try:
            reply = None
            with self._desk.places:
                if not self._is_stopped(message_id):
                    reply = self._handle(instruction)
            if reply is not None and not self._is_stopped(message_id):
                self._desk.spooled(reply)
        except LinkError as error:
            log(logging.WARNING, "Message %s is given back: %s", message_id, error)
            self._desk.give_up(message_id)
        finally:
            with self._lock:
                self._running = ""
                self._waiting.discard(message_id)
                self._stopped.discard(message_id)

    def _is_stopped(self, message_id: str) -> bool:
        with self._lock:
            return self._ended or message_id in self._stopped

    def _handle(self, instruction: Instruction) -> Reply | None:
        """Handle a message and spool its reply; ``None`` if it was stopped."""
        work = instruction.work
        message, lag = open_message(instruction, RecordDict(), self._desk.node_id)
        handled = self._outcome(instruction, message)
        if handled is None or self._is_stopped(work.message_id):
            return None
        try:
            reply = self._sealed(work, handled, message, lag)
            self._desk.spool.put(reply, handled.state, changed=handled.changed)
        except HomeError as error:  # nothing can be kept; the hub is told so at least
            log(logging.ERROR, "%s", error)
            reply = self._sealed(work, _failed(ErrorCode.UNKNOWN, str(error)), message, lag)
        return reply

    def _outcome(self, instruction: Instruction, message: Message) -> Handled | None:
        """Run the app, whatever stands in the way; ``None`` if the message was stopped."""
        try:
            self._desk.cache.use(self.run_id, instruction.body)
            message.content = bodies.unpack(instruction.body, self._desk.cache.fetch)
        except (ParcelError, RefusedError) as error:
            if isinstance(error, RefusedError) and error.code in _GONE:
                raise
            reason = f"The message cannot be read: {error}"
            return _failed(ErrorCode.MESSAGE_UNAVAILABLE, reason)
        seed = seed_of(instruction.message_id)
        for attempt in range(_MOST_ATTEMPTS):
            try:
                worker = self._ready_worker()
                if self._is_stopped(instruction.message_id):
                    return None
                return worker.handle(message, self._desk.node_config, seed)
            except (AppLoadError, ConfigError, FabError) as error:
                self._drop_worker()
                return _failed(ErrorCode.LOAD_CLIENT_APP_EXCEPTION, str(error))
            except EngineError as error:
                self._drop_worker()
                if self._is_stopped(instruction.message_id):
                    return None
                if attempt == _MOST_ATTEMPTS - 1:
                    return _failed(ErrorCode.CLIENT_APP_CRASHED, str(error))
                log(logging.WARNING, "Message %s begins anew: %s", instruction.message_id, error)
        raise AssertionError("unreachable")

    def _ready_worker(self) -> AppWorker:
        if self._worker is None or self._worker.closed:
            if self._sheet is None:
                self._sheet = self._desk.describe_run(self.run_id)
            app = self._desk.app_of(self._sheet)
            worker = AppWorker(self._sheet, app, self._desk.threads)
            worker.put_state(self._desk.node_id, self._desk.spool.state(self.run_id))
            self._worker = worker
            if self._ended:
                worker.close()
        return self._worker

    def _drop_worker(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()

    def _sealed(self, work: Work, handled: Handled, message: Message, lag: float) -> Reply:
        """Make what is sent of an outcome; large parts are in the spool when this returns."""
        reply = handled.reply
        fault: Fault | None = None
        body: Body | None = None
        if isinstance(reply, Error):
            reply = Message(reply, reply_to=message)
        stamp_reply(reply, message.metadata, lag)
        if reply.has_error():
            fault = Fault(reply.error.code, as_text(reply.error.reason))
        else:
            try:
                body = bodies.pack(seal_content(reply.content), self._desk.spool.put_object)
            except ParcelError as error:
                fault = Fault(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, describe(error))
        meta = _encode(encode_metadata(reply.metadata))
        return Reply(work.message_id, work.run_id, meta, body, fault, handled.seconds)


def open_message(
    instruction: Instruction, content: RecordDict, node_id: int
) -> tuple[Message, float]:
    """Make the message of an instruction, in the time of this node's clock.

    Returns
    -------
    Message
        With metadata as the app sees them.
    float
        Seconds by which the clock of whoever made the message is ahead of ours.
    """
    work = instruction.work
    metadata: Metadata = decode_metadata(_decode(work.meta))
    created_at = clock.unix_now() - work.age
    lag = metadata.created_at - created_at
    metadata.created_at = created_at
    metadata.delivered_at = clock.iso(clock.unix_now())
    metadata.dst_node_id = node_id
    metadata.stamp(run_id=work.run_id, src_node_id=_SUPERLINK_NODE_ID, message_id=work.message_id)
    return Message(metadata=metadata, content=content), lag


def stamp_reply(reply: Message, asked: Metadata, lag: float) -> None:
    """Write into a reply what only its sender's node knows, in the time of the asker's clock."""
    metadata = reply.metadata
    metadata.stamp(
        run_id=asked.run_id,
        src_node_id=asked.dst_node_id,
        message_id=str(uuid.uuid5(uuid.NAMESPACE_OID, asked.message_id)),
        reply_to_message_id=asked.message_id,
    )
    metadata.dst_node_id = _SUPERLINK_NODE_ID
    metadata.created_at += lag


def seed_of(message_id: str) -> int:
    """Return the seed for a message: the same whenever it is handled."""
    return int.from_bytes(hashlib.sha256(message_id.encode()).digest()[:8], "big")


def _failed(code: int, reason: str) -> Handled:
    return Handled(Error(code, reason), 0.0, None, changed=False)
