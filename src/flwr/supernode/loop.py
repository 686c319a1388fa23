"""A running node: what it does between the hub, its spool and its runs."""

import contextlib
import functools
import logging
import queue
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from flwr import clock
from flwr._version import __version__
from flwr.app import Metadata
from flwr.app.error import ErrorCode
from flwr.config import AppConfig
from flwr.errors import HomeError, LinkError, RefusedError
from flwr.log import log
from flwr.runtime.handler import describe
from flwr.supernode.agent import Agent, Instruction, News
from flwr.supernode.apps import AppShelf
from flwr.supernode.cache import ObjectCache
from flwr.supernode.identity import Identity
from flwr.supernode.lanes import Lanes, Patience
from flwr.supernode.runs import RunThread
from flwr.supernode.spool import Spool, objects_of
from flwr.supernode.workers import (
    Executor,
    LocalExecutor,
    Outcome,
    Worker,
    failed,
    seed_of,
    threads_for,
    workers_of,
)
from flwr.transport import fleet
from flwr.transport.address import Address
from flwr.transport.call import Refusal
from flwr.transport.client import Link
from flwr.transport.clientio import Job
from flwr.transport.fleet import Exchange, Exchanged, Hello, Leave, Reply, Work
from flwr.transport.parts import Fault, RunQuestion, RunSheet
from flwr.transport.tls import ServerTls
from flwr.wire.records import decode_metadata, encode_metadata

if TYPE_CHECKING:
    from flwr.supernode.hosts import HostDesk

_IDLE_SECONDS = 300.0  # after which a worker without messages ends
_GOODBYE = 3.0  # seconds for the last words to the hub
_FULL_PAUSE = 2.0  # seconds before an object is brought again to a hub whose disk is full
_SUPERLINK_NODE_ID = 1
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


@dataclass(frozen=True)
class NodeSettings:
    """How a node works.

    Attributes
    ----------
    apps : Path
        The folder in which apps are unpacked.
    name : str
        For people.
    node_config : mapping
        What apps find in ``context.node_config``.
    concurrent : int
        How many messages are handled at once, each of another run.
    patience : Patience
        How long a hub that does not answer is tried again.
    idle_seconds : float
        After which a worker without messages ends.
    hosts : Address, optional
        Where other processes take what ClientApps have to do, instead of workers of this one.
    hosts_tls : ServerTls, optional
        For that; ``None`` is plain HTTP.
    worker : callable, optional
        Starts what handles a run's messages, instead of a process that loads the run's app.
    sent : callable
        Called when a reply is on its way to the hub.
    """

    apps: Path
    name: str = ""
    node_config: Mapping[str, Any] = field(default_factory=dict)
    concurrent: int = 1
    patience: Patience = field(default_factory=Patience)
    idle_seconds: float = _IDLE_SECONDS
    hosts: Address | None = None
    hosts_tls: ServerTls | None = None
    worker: Callable[[], Worker] | None = None
    sent: Callable[[], None] = lambda: None


class Node:
    """A node that works until it is stopped.

    Parameters
    ----------
    settings : NodeSettings
        How it works.
    identity : Identity
        Who it is, and where it keeps its state.
    link : Link
        To the hub, with the identity's secret as its token.

    Attributes
    ----------
    hosts_address : Address or None
        Where hosts of ClientApps are served, once they are.
    """

    def __init__(self, settings: NodeSettings, identity: Identity, link: Link) -> None:
        self._settings = settings
        self._folder = identity.folder
        self._link = link
        self._instance = uuid.uuid4().hex
        self._runs: dict[int, RunThread] = {}
        self._runs_lock = threading.Lock()
        self._fault: BaseException | None = None
        self._over = threading.Event()
        self._uploads: queue.SimpleQueue[Reply | str | None] = queue.SimpleQueue()
        self._uploaded: set[str] = set()  # objects of replies that are not sent yet
        self._hub_is_full = False  # and that was told
        self._places = threading.Semaphore(settings.concurrent)
        self._threads = threads_for(settings.concurrent)
        self._node_id = 0
        self._on_welcome: Callable[[int], None] = lambda _: None
        self.apps = AppShelf(settings.apps)
        self.spool = Spool(identity.folder)
        self.cache = ObjectCache(identity.folder / "objects", link.download)
        self.hosts_address: Address | None = None
        self._desk: HostDesk | None = None
        if settings.hosts is not None:
            from flwr.supernode import hosts  # a server, which other nodes do not load

            self._desk = hosts.HostDesk(
                self.spool,
                self.cache,
                identity.folder / "incoming",
                self.describe_run,
                self.fab_of,
            )
        self._agent = Agent(settings.concurrent)
        self._lanes = Lanes(
            self._agent,
            introduce=self._introduce,
            exchange=self._exchange,
            hear=self._hear,
            clear_away=self._clear_away,
            again=self._upload_again,
            fail=self.fail,
            patience=settings.patience,
        )

    def run(self, on_welcome: Callable[[int], None] = lambda _: None) -> None:
        """Work until `stop` is called.

        Parameters
        ----------
        on_welcome : callable
            Called with the node's id, when the hub has given it.

        Raises
        ------
        LinkError
            If the hub cannot be reached any more, refuses the node, or has another process of the
            same identity.
        """
        self._on_welcome = on_welcome
        if self._desk is not None and self._settings.hosts is not None:
            self.hosts_address = self._desk.open(self._settings.hosts, self._settings.hosts_tls)
            log(logging.INFO, "Hosts of ClientApps are served at %s.", self.hosts_address)
        self._restore()
        uploads = threading.Thread(target=self._upload_all, name="uploads", daemon=True)
        uploads.start()
        self._lanes.start()
        self._over.wait()
        runs = self._say_goodbye()
        self._link.close()
        for run in runs:
            run.join(_GOODBYE)
        self._lanes.join(_GOODBYE)
        uploads.join(_GOODBYE)
        if self._desk is not None:
            self._desk.close()
        if isinstance(self._fault, RefusedError) and self._fault.code == Refusal.SUPERSEDED:
            raise RefusedError(
                self._fault.code,
                f"This SuperNode ends: {self._fault.message}",
                hint="Another one was started with a copy of this one's state folder, "
                f"{self._folder}. Give each SuperNode a folder of its own (--state-dir).",
            ) from self._fault
        if self._fault is not None:
            raise self._fault

    def stop(self) -> None:
        """Take no more work, bring what is finished, say goodbye. May be called by a signal."""
        self._over.set()

    def fail(self, error: BaseException) -> None:
        """End the node for a reason that has no cure."""
        if self._fault is None:
            self._fault = error
        self._over.set()

    # -- with the hub

    def _introduce(self) -> int:
        settings = self._settings
        hello = Hello(self._instance, dict(settings.node_config), settings.name, __version__)
        welcome = self._link.call(fleet.HELLO, hello, patience=0.0)
        if self._node_id not in (0, welcome.node_id):
            log(logging.INFO, "The SuperLink knows this node as %s now.", welcome.node_id)
        self._node_id = welcome.node_id
        self._on_welcome(welcome.node_id)
        return welcome.epoch

    def _exchange(self, exchange: Exchange) -> Exchanged:
        return self._link.call(fleet.EXCHANGE, exchange, wait=exchange.wait, patience=0.0)

    def _hear(self, news: News) -> None:
        """Begin what an answer has brought."""
        with self._runs_lock:
            for instruction in news.begin:
                run = self._runs.get(instruction.run_id)
                if run is None:
                    run = self._runs[instruction.run_id] = self._start_run(instruction.run_id)
                run.begin(instruction)

    def _clear_away(self, news: News) -> None:
        """Deal with what is wanted no more."""
        for message_id in news.settled:
            self.spool.settle(message_id)
        if news.stop:
            with self._runs_lock:
                runs = list(self._runs.values())
            for message_id in news.stop:
                for run in runs:
                    run.stop(message_id)
        for run_id in news.ended_runs:
            with self._runs_lock:
                ended = self._runs.pop(run_id, None)
            if ended is not None:
                ended.end(functools.partial(self._forget_run, run_id))
            if self._desk is not None:
                self._desk.end_run(run_id)
            if ended is None:
                self._forget_run(run_id)
        for message_id in news.unsettled:
            self._upload_one_again(message_id)

    def _forget_run(self, run_id: int) -> None:
        """Let go of what is kept of a run that has ended."""
        self.spool.drop_run(run_id)
        self.cache.drop_run(run_id)
        self.apps.drop_run(run_id)

    # -- runs

    def describe_run(self, run_id: int) -> RunSheet:
        """Ask the hub for a run's description."""
        return self._link.call(fleet.RUN, RunQuestion(run_id))

    def app_of(self, sheet: RunSheet) -> AppConfig:
        """Return a run's app, fetching it first if need be."""
        return self.apps.app(sheet, lambda: self.fab_of(sheet.run_id))

    def fab_of(self, run_id: int) -> bytes:
        """Fetch the FAB of a run."""
        return self._link.call(fleet.FAB, RunQuestion(run_id)).content

    def _start_run(self, run_id: int) -> RunThread:
        executor = self._executor(run_id)

        def handle(run: RunThread, instruction: Instruction) -> None:
            with self.spool.keeping():
                self._handle(run, executor, instruction)

        return RunThread(
            run_id,
            executor,
            handle=handle,
            retire=self._retire,
            fail=self.fail,
            idle_seconds=self._settings.idle_seconds,
        )

    def _executor(self, run_id: int) -> Executor:
        if self._desk is not None:
            return self._desk.executor()
        start: Callable[[], Worker] = self._settings.worker or workers_of(
            lambda: self.describe_run(run_id), self.app_of, self._threads
        )
        return LocalExecutor(start, self.cache.fetch, self._keep)

    def _retire(self, run: RunThread) -> bool:
        """Forget a run that has been idle; ``False`` if it has got work meanwhile."""
        with self._runs_lock:
            if not run.idle:
                return False
            if self._runs.get(run.run_id) is run:
                del self._runs[run.run_id]
            return True

    def _handle(self, run: RunThread, executor: Executor, instruction: Instruction) -> None:
        """Handle a message, in its run's thread, and see to its reply."""
        work = instruction.work
        try:
            metadata, lag = asked_for(work, self._node_id)
        except ValueError as error:
            reason = f"The message's metadata cannot be read: {error}"
            fault = Fault(ErrorCode.MESSAGE_UNAVAILABLE, reason)
            self._send(Reply(work.message_id, work.run_id, error=fault))
            return
        try:
            outcome = self._outcome(run, executor, instruction, metadata)
        except LinkError as error:
            log(logging.WARNING, "Message %s is given back: %s", work.message_id, error)
            self._lanes.tell(lambda agent: agent.let_go(work.message_id))
            return
        except Exception as error:  # of ours, or of this machine: the hub must not wait in vain
            log(logging.ERROR, "Message %s failed: %s", work.message_id, error, exc_info=True)
            outcome = failed(metadata, ErrorCode.UNKNOWN, describe(error))
        if outcome is not None and not run.is_stopped(work.message_id):
            self._reply(work, metadata, outcome, lag)

    def _outcome(
        self, run: RunThread, executor: Executor, instruction: Instruction, metadata: Metadata
    ) -> Outcome | None:
        """Have a message handled; ``None`` if nobody waits for what becomes of it."""
        message_id, run_id = instruction.message_id, run.run_id
        job = Job(
            message_id,
            run_id,
            self._node_id,
            _encode(encode_metadata(metadata)),
            instruction.body,
            dict(self._settings.node_config),
            seed=seed_of(message_id),
        )
        with self._places:
            if run.is_stopped(message_id):
                return None
            self.cache.use(run_id, instruction.body)
            return executor.execute(
                job, lambda: self.spool.state(run_id), lambda: run.is_stopped(message_id)
            )

    def _reply(self, work: Work, asked: Metadata, outcome: Outcome, lag: float) -> None:
        """Spool a reply, and send it."""
        if outcome.fault is not None:
            log(
                logging.WARNING,
                "Run %s: the ClientApp failed at %s: %s",
                work.run_id,
                asked.message_type,
                outcome.fault.reason,
            )
        stamp_reply(outcome.metadata, asked, lag)
        meta = _encode(encode_metadata(outcome.metadata))
        reply = Reply(
            work.message_id, work.run_id, meta, outcome.body, outcome.fault, outcome.seconds
        )
        try:
            self.spool.put(reply, outcome.state, changed=outcome.changed)
        except HomeError as error:  # nothing can be kept; the hub is told so at least
            log(logging.ERROR, "%s", error)
            fault = Fault(ErrorCode.UNKNOWN, str(error))
            reply = msgspec.structs.replace(reply, body=None, error=fault)
        self._send(reply)

    def _send(self, reply: Reply) -> None:
        if objects_of(reply.body):
            self._lanes.tell(lambda agent: agent.spool(reply.message_id))
            self._uploads.put(reply)
        else:
            self._finish(reply)
        self._settings.sent()

    # -- replies

    def _keep(self, object_id: str, data: memoryview) -> None:
        """Keep a large part of a reply, and bring it to the hub while the rest is being kept."""
        self.spool.put_object(object_id, data)
        self._uploads.put(object_id)

    def _upload_again(self, replies: list[Reply]) -> None:
        for reply in replies:
            self._upload_one_again(reply.message_id)

    def _upload_one_again(self, message_id: str) -> None:
        reply = self._lanes.tell(lambda agent: agent.hold_back(message_id))
        if reply is not None:
            self._uploads.put(reply)

    def _upload_all(self) -> None:
        """Bring the large parts of replies to the hub, then let the replies go."""
        try:
            while (what := self._uploads.get()) is not None:
                if isinstance(what, Reply):
                    self._upload(what)
                else:
                    self._upload_object(what)
        except LinkError as error:
            if not self._over.is_set():
                self.fail(error)
        except BaseException as error:
            self.fail(error)

    def _upload(self, reply: Reply) -> None:
        """Send a reply whose large parts are at the hub, once they are."""
        for object_id in objects_of(reply.body):
            if object_id not in self._uploaded and self.spool.reply(reply.message_id) is not None:
                self._upload_object(object_id)
            self._uploaded.discard(object_id)
        self._finish(reply)

    def _finish(self, reply: Reply) -> None:
        """Let a reply go to the hub; away with it, if nobody waits for it any more."""
        if not self._lanes.tell(lambda agent: agent.finish(reply)):
            self.spool.settle(reply.message_id)

    def _upload_object(self, object_id: str) -> None:
        try:
            self._link.upload(object_id, self.spool.objects / object_id)
            self._uploaded.add(object_id)
            self._hub_is_full = False
        except FileNotFoundError:
            pass  # nobody wants it any more
        except RefusedError as error:
            full = error.code == Refusal.DISK_FULL
            if not (full and self._hub_is_full):
                log(logging.WARNING, "An object was refused: %s", error)
            self._hub_is_full = full
            if full:
                self._over.wait(_FULL_PAUSE)

    def _restore(self) -> None:
        """Go on with what an earlier process of this node has left."""
        for run_id in self.spool.runs():
            self._agent.keep(run_id)
        for reply in self.spool.replies():
            self._agent.restore(reply.message_id, reply.run_id)
            self._uploads.put(reply)

    # -- the end

    def _say_goodbye(self) -> list[RunThread]:
        """Stop all runs, which are returned, and bring the hub what is finished."""
        last = self._lanes.stop()
        with self._runs_lock:
            runs = list(self._runs.values())
            self._runs.clear()
        self._uploads.put(None)
        for run in runs:
            run.end()
        if last is not None and not isinstance(self._fault, LinkError):
            with contextlib.suppress(LinkError):
                if last.exchange.done:
                    answer = self._link.call(fleet.EXCHANGE, last.exchange, patience=_GOODBYE)
                    for message_id in self._lanes.answered(last, answer).settled:
                        self.spool.settle(message_id)
                self._link.call(fleet.LEAVE, Leave(last.exchange.epoch), patience=_GOODBYE)
        return runs


def asked_for(work: Work, node_id: int) -> tuple[Metadata, float]:
    """Return a message's metadata in the time of this node's clock.

    Returns
    -------
    Metadata
        As the app sees them.
    float
        Seconds by which the clock of whoever made the message is ahead of ours.
    """
    metadata = decode_metadata(_decode(work.meta))
    now = clock.unix_now()
    lag = metadata.created_at - (now - work.age)
    metadata.created_at = now - work.age
    metadata.delivered_at = clock.iso(now)
    metadata.dst_node_id = node_id
    metadata.stamp(run_id=work.run_id, src_node_id=_SUPERLINK_NODE_ID, message_id=work.message_id)
    return metadata, lag


def stamp_reply(metadata: Metadata, asked: Metadata, lag: float) -> None:
    """Write into a reply's metadata what only its node knows, in the time of the asker's clock."""
    metadata.stamp(
        run_id=asked.run_id,
        src_node_id=asked.dst_node_id,
        message_id=str(uuid.uuid5(uuid.NAMESPACE_OID, asked.message_id)),
        reply_to_message_id=asked.message_id,
    )
    metadata.dst_node_id = _SUPERLINK_NODE_ID
    metadata.created_at += lag
