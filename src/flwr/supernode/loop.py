"""A running node: its threads, and what they do between the hub, the spool and the runs."""

import contextlib
import logging
import queue
import random
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flwr._version import __version__
from flwr.config import AppConfig
from flwr.errors import LinkError, RefusedError, UnreachableError
from flwr.log import log
from flwr.supernode.agent import MOST_UNDER_WAY, Agent, News, Sending
from flwr.supernode.apps import AppShelf
from flwr.supernode.cache import ObjectCache
from flwr.supernode.identity import Identity
from flwr.supernode.runs import NodeRun
from flwr.supernode.spool import Spool, objects_of
from flwr.supernode.workers import threads_for
from flwr.transport import fleet
from flwr.transport.call import Refusal
from flwr.transport.client import Link
from flwr.transport.fleet import RENEW_SECONDS, Hello, Leave, Reply
from flwr.transport.parts import RunQuestion, RunSheet

_IDLE_SECONDS = 300.0  # after which a worker without messages ends
_GOODBYE = 3.0  # seconds for the last words to the hub
_FINAL = (Refusal.SUPERSEDED, Refusal.VERSION)
_STRANGER = (Refusal.UNKNOWN_NODE, Refusal.NOT_ALLOWED)


@dataclass(frozen=True)
class NodeSettings:
    """How a node works.

    Attributes
    ----------
    name : str
        For people; by default the host's.
    node_config : mapping
        What apps find in ``context.node_config``.
    concurrent : int
        How many messages are handled at once, each of another run.
    max_wait : float
        Seconds for which the hub is tried again, before the node gives up.
    max_retries : int, optional
        How often; no limit by default.
    idle_seconds : float
        After which a worker without messages ends.
    apps : Path
        The folder in which apps are unpacked.
    """

    apps: Path
    name: str = ""
    node_config: Mapping[str, Any] = field(default_factory=dict)
    concurrent: int = 1
    max_wait: float = 600.0
    max_retries: int | None = None
    idle_seconds: float = _IDLE_SECONDS


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
    """

    def __init__(self, settings: NodeSettings, identity: Identity, link: Link) -> None:
        self._settings = settings
        self._link = link
        self._instance = uuid.uuid4().hex
        self._agent = Agent(settings.concurrent)
        self._changed = threading.Condition()  # guards the agent and the runs
        self._runs: dict[int, NodeRun] = {}
        self._introducing = False
        self._stopping = False
        self._fault: BaseException | None = None
        self._over = threading.Event()
        self._uploads: queue.SimpleQueue[Reply | None] = queue.SimpleQueue()
        self._apps = AppShelf(settings.apps)
        self._on_welcome: Callable[[int], None] = lambda _: None
        self.node_id = 0
        self.node_config: Mapping[str, Any] = dict(settings.node_config)
        self.spool = Spool(identity.folder)
        self.cache = ObjectCache(identity.folder / "objects", link.download)
        self.threads = threads_for(settings.concurrent)
        self.idle_seconds = settings.idle_seconds
        self.places = threading.Semaphore(settings.concurrent)

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
        self._restore()
        threads = [
            threading.Thread(target=self._supervised, args=(work,), name=name, daemon=True)
            for work, name in (
                *((self._lane, f"exchange {n}") for n in range(MOST_UNDER_WAY)),
                (self._upload_all, "uploads"),
            )
        ]
        for thread in threads:
            thread.start()
        self._over.wait()
        self._say_goodbye()
        self._link.close()
        for thread in threads:
            thread.join(_GOODBYE)
        if self._fault is not None:
            raise self._fault

    def stop(self) -> None:
        """Take no more work, bring what is finished, say goodbye. May be called by a signal."""
        self._over.set()

    # -- what runs need

    def describe_run(self, run_id: int) -> RunSheet:
        """Ask the hub for a run's description."""
        return self._link.call(fleet.RUN, RunQuestion(run_id))

    def app_of(self, sheet: RunSheet) -> AppConfig:
        """Return a run's app, fetching it first if need be."""
        return self._apps.app(
            sheet, lambda: self._link.call(fleet.FAB, RunQuestion(sheet.run_id)).content
        )

    def spooled(self, reply: Reply) -> None:
        """Send a reply that is on disk."""
        if objects_of(reply.body):
            with self._changed:
                self._agent.spool(reply.message_id)
                self._changed.notify()
            self._uploads.put(reply)
        else:
            self._finish(reply)

    def give_up(self, message_id: str) -> None:
        """Hand a message back."""
        with self._changed:
            self._agent.let_go(message_id)
            self._changed.notify()

    def retire(self, run: NodeRun) -> bool:
        """Forget a run that has been idle; ``False`` if it has got work meanwhile."""
        with self._changed:
            if not run.idle:
                return False
            if self._runs.get(run.run_id) is run:
                del self._runs[run.run_id]
            return True

    def fail(self, error: BaseException) -> None:
        """End the node for a reason that has no cure."""
        if self._fault is None:
            self._fault = error
        self._over.set()

    # -- the threads

    def _supervised(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            self.fail(error)

    def _lane(self) -> None:
        """Send exchanges, one after the other, when there is one to send."""
        while (sending := self._next()) is not None:
            try:
                if isinstance(sending, Hello):
                    self._introduce(sending)
                else:
                    self._exchange(sending)
            except UnreachableError as error:
                self._failed(None if isinstance(sending, Hello) else sending, error)

    def _next(self) -> Sending | Hello | None:
        """Wait for something to send; ``None`` says that the node ends."""
        with self._changed:
            while not self._stopping:
                now = time.monotonic()
                if self._agent.must_introduce:
                    again: float | None = None
                    if not self._introducing:
                        again = self._agent.introduce_at
                        if now >= again:
                            self._introducing = True
                            return self._hello()
                else:
                    sending = self._agent.next_exchange(now)
                    if sending is not None:
                        return sending
                    again = self._agent.look_again
                self._changed.wait(None if again is None else max(0.0, again - now))
        return None

    def _hello(self) -> Hello:
        return Hello(self._instance, dict(self.node_config), self._settings.name, __version__)

    def _introduce(self, hello: Hello) -> None:
        try:
            welcome = self._link.call(fleet.HELLO, hello, patience=0.0)
        finally:
            with self._changed:
                self._introducing = False
        if self.node_id not in (0, welcome.node_id):
            log(logging.INFO, "The SuperLink knows this node as %s now.", welcome.node_id)
        self.node_id = welcome.node_id
        with self._changed:
            self._agent.welcomed(welcome.epoch)
            self._changed.notify_all()
        self._on_welcome(welcome.node_id)

    def _exchange(self, sending: Sending) -> None:
        exchange = sending.exchange
        try:
            answer = self._link.call(fleet.EXCHANGE, exchange, wait=exchange.wait, patience=0.0)
        except RefusedError as error:
            self._refused(sending, error)
            return
        with self._changed:
            news = self._agent.answered(sending, answer, time.monotonic())
            if not self._stopping:
                self._begin(news)
            self._changed.notify()
        self._clear_away(news)

    def _begin(self, news: News) -> None:
        for instruction in news.begin:
            run = self._runs.get(instruction.run_id)
            if run is None:
                run = self._runs[instruction.run_id] = NodeRun(instruction.run_id, self)
            run.begin(instruction)

    def _clear_away(self, news: News) -> None:
        """Deal with what is wanted no more."""
        for message_id in news.settled:
            self.spool.settle(message_id)
        for message_id in news.stop:
            for run in list(self._runs.values()):
                run.stop(message_id)
        for run_id in news.ended_runs:
            with self._changed:
                ended = self._runs.pop(run_id, None)
            if ended is not None:
                ended.end()
            self.spool.drop_run(run_id)
            self.cache.drop_run(run_id)
        for message_id in news.unsettled:
            self._send_again(message_id)

    def _refused(self, sending: Sending, error: RefusedError) -> None:
        if error.code in _FINAL:
            raise error
        log(logging.WARNING, "The SuperLink refused an exchange: %s", error)
        with self._changed:
            self._agent.failed(sending, time.monotonic(), 1.0)
            if error.code in _STRANGER:
                self._agent.unknown()
            self._changed.notify()
        for reply in sending.exchange.done:  # perhaps the hub lost their objects
            self._send_again(reply.message_id)

    def _failed(self, sending: Sending | None, error: UnreachableError) -> None:
        """Try again later, if there is a later."""
        with self._changed:
            now = time.monotonic()
            first = self._agent.failing_for(now) == 0.0
            self._agent.failed(sending, now, random.random())  # noqa: S311  (spreads nodes out)
            failures, since = self._agent.failures, self._agent.failing_for(now)
            self._changed.notify()
        if first and not self._stopping:
            log(logging.WARNING, "%s Trying again …", error)
        retries = self._settings.max_retries
        if since >= self._settings.max_wait or (retries is not None and failures > retries):
            raise error

    # -- replies

    def _finish(self, reply: Reply) -> None:
        with self._changed:
            self._agent.finish(reply)
            self._changed.notify()

    def _send_again(self, message_id: str) -> None:
        with self._changed:
            reply = self._agent.hold_back(message_id)
        if reply is not None:
            self._uploads.put(reply)

    def _upload_all(self) -> None:
        """Bring the large parts of replies to the hub, then let the replies go."""
        while (reply := self._uploads.get()) is not None:
            try:
                for object_id in objects_of(reply.body):
                    if self.spool.reply(reply.message_id) is not None:
                        self._link.upload(object_id, self.spool.objects / object_id)
            except FileNotFoundError:
                pass  # settled meanwhile
            except RefusedError as error:
                log(logging.WARNING, "An object was refused: %s", error)
            self._finish(reply)

    def _restore(self) -> None:
        """Go on with what an earlier process of this node has left."""
        for run_id in self.spool.runs():
            self._agent.keep(run_id)
        for reply in self.spool.replies():
            self._agent.restore(reply.message_id, reply.run_id)
            self._uploads.put(reply)

    # -- the end

    def _say_goodbye(self) -> None:
        with self._changed:
            self._stopping = True
            runs = list(self._runs.values())
            self._runs.clear()
            self._changed.notify_all()
        self._uploads.put(None)
        for run in runs:
            run.end()
        if not isinstance(self._fault, LinkError):
            with contextlib.suppress(LinkError):
                self._leave()
        for run in runs:
            run.join(_GOODBYE)

    def _leave(self) -> None:
        with self._changed:
            sending = self._agent.next_exchange(time.monotonic(), leaving=True)
        if sending is None:
            return
        if sending.exchange.done:
            answer = self._link.call(fleet.EXCHANGE, sending.exchange, patience=_GOODBYE)
            with self._changed:
                news = self._agent.answered(sending, answer, time.monotonic())
            for message_id in news.settled:
                self.spool.settle(message_id)
        self._link.call(fleet.LEAVE, Leave(sending.exchange.epoch), patience=_GOODBYE)


__all__ = ["RENEW_SECONDS", "Node", "NodeSettings"]
