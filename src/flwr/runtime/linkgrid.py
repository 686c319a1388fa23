"""The grid of a deployment: messages go to the hub, replies come from it, checkpoints lie there."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import msgspec

from flwr.app import Context, Error, Message, Metadata, RecordDict
from flwr.app.error import ErrorCode
from flwr.app.events import Event, NodesAwaited
from flwr.errors import ParcelError, RefusedError, RunFailedError
from flwr.log import log
from flwr.runtime import bodies
from flwr.runtime.checkpoints import decode_state, encode_state, generators, set_generators
from flwr.runtime.exchange import PushedMessages, answered
from flwr.runtime.inbox import Inbox
from flwr.runtime.outbox import Outbox
from flwr.runtime.runinfo import SUPERLINK_NODE_ID, RunInfo
from flwr.runtime.scopes import Scopes
from flwr.runtime.tally import Tallies, Tally
from flwr.serverapp import Grid
from flwr.serverapp.grid import NodeInfo
from flwr.transport import appio
from flwr.transport.call import Refusal
from flwr.transport.client import Link
from flwr.transport.fleet import RENEW_SECONDS
from flwr.transport.parts import Body
from flwr.wire.records import decode_metadata

_TELL_SECONDS = 10.0  # between two lines about what is waited for
_LARGE = 1 << 20  # bytes; replies beyond are fetched ahead
_MOST_AHEAD = 2
_PIECES = 8  # in which the replies of a stream are asked for, so that work begins before all came
_BAD_REPLY = (Refusal.UNKNOWN_OBJECT, Refusal.WRONG_HASH)


class ConnectedNodes(Set[int]):
    """The ids of the nodes that were connected when it was made, in order."""

    def __init__(self, ids: Iterable[int]) -> None:
        self._ids = sorted(ids)
        self._known = frozenset(self._ids)

    def __contains__(self, node_id: object) -> bool:
        return node_id in self._known

    def __iter__(self) -> Iterator[int]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)

    def at(self, index: int) -> int:
        """Return the id at an index."""
        return self._ids[index]

    def __repr__(self) -> str:
        return f"{{{', '.join(map(str, self._ids))}}}"

    @classmethod
    def _from_iterable(cls, ids: Iterable[int]) -> set[int]:  # type: ignore[override]  # & and |
        return set(ids)


class LinkGrid(Grid):
    """Sends a ServerApp's messages to real nodes. All threads may use it at the same time.

    Parameters
    ----------
    link : Link
        To the hub, with the token of this attempt of the run.
    run : RunInfo
        The run.
    context : Context
        Given to ``main``. Its state is set by `begin` and by scopes.
    listener : callable, optional
        Called with each event of the run.
    flush : callable, optional
        Returns when all events so far are saved; called before each checkpoint.

    Attributes
    ----------
    tallies : Tallies
        The messages so far, those before a restart included.
    """

    def __init__(
        self,
        link: Link,
        run: RunInfo,
        context: Context,
        listener: Callable[[Event], None] | None = None,
        flush: Callable[[], None] | None = None,
    ) -> None:
        self._link = link
        self._run = run
        self._context = context
        self._listener = listener
        self._flush = flush
        self.tallies = Tallies()
        self._outbox = Outbox(link)
        self._inbox = Inbox(link)
        self._scopes = Scopes()
        self._restored = False  # messages of an earlier process may be on their way
        self._pushed: dict[str, tuple[PushedMessages, int]] = {}
        self._online: ConnectedNodes = ConnectedNodes(())
        self._lock = threading.Lock()
        self._fetchers: ThreadPoolExecutor | None = None

    def close(self) -> None:
        """End the threads that fetch."""
        if self._fetchers is not None:
            self._fetchers.shutdown(wait=False, cancel_futures=True)

    # -- the Grid

    def set_run(self, run: RunInfo) -> None:
        """Say which run this grid works for."""
        self._run = run

    @property
    def run(self) -> RunInfo:
        """The record of the run."""
        return self._run

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Make a message. Deprecated: use ``Message(...)``."""
        return super().create_message(content, message_type, dst_node_id, group_id, ttl)

    def get_node_ids(self) -> ConnectedNodes:
        """Return the ids of the nodes that are connected, or away for less than a minute."""
        return self._nodes(appio.NodeQuestion())

    def get_nodes(self) -> Iterable[NodeInfo]:
        """Return what is known of each of them."""
        return [NodeInfo(node_id) for node_id in self.get_node_ids()]

    def wait_nodes(self, count: int) -> None:
        """Return when ``count`` nodes are connected; say now and then what is waited for."""
        nodes = self._nodes(appio.NodeQuestion())
        while len(nodes) < count:
            self.say_waiting(len(nodes), count)
            nodes = self._nodes(appio.NodeQuestion(count, _TELL_SECONDS))

    def say_waiting(self, connected: int, count: int) -> None:
        """Say that more nodes are waited for than are connected."""
        self.emit(NodesAwaited(connected, count))
        log(
            logging.INFO,
            "Waiting for nodes: %d of %d are connected (to give up: flwr stop %d)",
            connected,
            count,
            self._run.run_id,
        )

    def emit(self, event: Event) -> None:
        """Count what an event tells of messages, and pass it on."""
        self.tallies.add(event)
        if self._listener is not None:
            self._listener(event)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Send messages and return their ids, in order."""
        pushed = self._send(messages, None)
        with self._lock:
            for index, message_id in enumerate(pushed.ids):
                self._pushed[message_id] = (pushed, index)
        return pushed.ids

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Return the replies that are there; each is given once."""
        self._inbox.look()
        found = (self._pull(message_id) for message_id in message_ids)
        return [reply for reply in found if reply is not None]

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> list[Message]:
        """Send messages, wait for their replies, return them in the order of the messages."""
        return list(self._exchange(messages, timeout, pieces=1))

    def stream(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterator[Message]:
        """Yield the replies in the order of the messages, as they can be given."""
        return self._exchange(messages, timeout, pieces=_PIECES)

    # -- checkpoints

    def begin(self) -> None:
        """Go on from the last checkpoint of ``main``, or make the first one.

        The first one holds the state of the generators, so that a restarted ``main`` draws the
        same nodes again, and finds their replies.
        """
        if self._restore() is None:
            self.checkpoint({})

    def open_scope(self) -> Mapping[str, Any] | None:
        """Begin the next scope; return the state that was saved in it last, if there is one."""
        with self._lock:
            self._scopes.open()
        return self._restore()

    def checkpoint(self, state: Mapping[str, Any]) -> None:
        """Save a state, ``context.state`` and the generators, and release used replies."""
        scope = self._scopes.current
        with self._lock:
            released = list(scope.done)
        saved = {
            "state": dict(state),
            "generators": generators(),
            "opened": self._scopes.opened,
            "tallies": {
                name: [tally.messages, tally.failures, tally.unhandled, tally.silent]
                for name, tally in self.tallies.by_type.items()
            },
        }
        if self._flush is not None:
            self._flush()
        request = appio.Checkpoint(
            scope=scope.number,
            step=scope.step,
            state=self._outbox.body_of(encode_state(saved)),
            context=self.context_body(),
            release=released,
        )
        self._link.call(appio.CHECKPOINT, request)
        with self._lock:
            scope.saved(request.step, released)

    def context_body(self) -> Body:
        """Upload the context's state, and return its body."""
        return self._outbox.body_of(self._context.state)

    def close_scope(self) -> None:
        """Go back to the scope around."""
        with self._lock:
            self._scopes.close()

    def _restore(self) -> dict[str, Any] | None:
        scope = self._scopes.current
        found = self._link.call(appio.RESTORE, appio.ScopeQuestion(scope.number)).checkpoint
        if found is None:
            return None
        self._restored = True
        saved = decode_state(bodies.unpack(found.state, self._link.download))
        self._context.state = bodies.unpack(found.context, self._link.download)
        set_generators(saved["generators"])
        self._scopes.opened = saved["opened"]
        self.tallies.by_type = {name: Tally(*counts) for name, counts in saved["tallies"].items()}
        scope.saved(found.step)
        state: dict[str, Any] = saved["state"]
        return state

    # -- sending

    def _nodes(self, question: appio.NodeQuestion) -> ConnectedNodes:
        answer = self._link.call(appio.NODES, question, wait=question.wait)
        self._online = ConnectedNodes(node.node_id for node in answer.nodes)
        return self._online

    def _send(self, messages: Iterable[Message], wait: float | None) -> PushedMessages:
        """Send messages; with a time to wait, return when some reply is there, or it is over."""
        given = list(messages)
        for message in given:
            _check(message)
        with self._lock:
            scope = self._scopes.current
            for message in given:
                metadata = message.metadata
                metadata.stamp(
                    run_id=self._run.run_id,
                    src_node_id=SUPERLINK_NODE_ID,
                    message_id=scope.next_id(
                        self._run.run_id, metadata.dst_node_id, metadata.message_type
                    ),
                )
        pushed = PushedMessages([message.metadata.snapshot() for message in given], scope)
        collect = None
        if wait and all(each.dst_node_id in self._online for each in pushed.instructions):
            collect = self._inbox.cursor(max(1, len(given) // _PIECES), wait)
        for answer in self._outbox.push(given, scope.number, collect):
            self._inbox.add(answer.replies)
            for refused in answer.refused:
                if not refused.code:
                    raise RunFailedError(
                        f"Message {refused.message_id} was sent before, but not the same: "
                        f"{refused.reason}",
                        hint="After a restart, an app must send what it had sent since its last "
                        "checkpoint: it may depend on its state and on the generators of random "
                        "and numpy.random, but not on the time or on anything outside.",
                    )
                pushed.refused[refused.message_id] = Error(refused.code, refused.reason)
        return pushed

    # -- receiving

    def _exchange(
        self, messages: Iterable[Message], timeout: float | None, pieces: int
    ) -> Iterator[Message]:
        """Send messages, and return an iterator over the replies."""
        if timeout is not None and not timeout >= 0:
            raise ValueError(f"timeout must be a number of seconds, 0 or more, not {timeout!r}.")
        deadline = None if timeout is None else time.monotonic() + timeout
        wait = RENEW_SECONDS if timeout is None else min(timeout, RENEW_SECONDS)
        pushed = self._send(messages, wait)
        return self._replies(pushed, deadline, pieces)

    def _replies(
        self, pushed: PushedMessages, deadline: float | None, pieces: int
    ) -> Iterator[Message]:
        ahead: dict[int, Future[Message]] = {}
        try:
            for index in range(len(pushed.ids)):
                self._fetch_ahead(pushed, index, ahead)
                if not self._wait(pushed, index, deadline, pieces):
                    continue
                self._fetch_ahead(pushed, index + 1, ahead)
                yield self._give(pushed, index, ahead.pop(index, None))
        finally:
            for future in ahead.values():
                future.cancel()
            untaken = pushed.untaken
            self._inbox.give_up(each for each in untaken if each not in pushed.refused)
            with self._lock:
                pushed.scope.done += untaken
            self._tell(pushed)

    def _wait(
        self, pushed: PushedMessages, index: int, deadline: float | None, pieces: int
    ) -> bool:
        """Wait until a message is answered; return whether it is."""
        message_id = pushed.ids[index]
        if message_id in pushed.refused or self._inbox.peek(message_id) is not None:
            return True
        if deadline is not None and deadline <= time.monotonic():
            return False  # without counting: thousands may have stayed away
        missing = sum(self._inbox.peek(each) is None for each in pushed.ids[index:])
        return self._inbox.wait(message_id, deadline, max(1, missing // pieces))

    def _fetch_ahead(
        self, pushed: PushedMessages, first: int, ahead: dict[int, Future[Message]]
    ) -> None:
        """Begin to fetch the next large replies that are there."""
        for index in range(first, min(first + _MOST_AHEAD, len(pushed.ids))):
            answer = self._inbox.peek(pushed.ids[index])
            if index in ahead or answer is None or answer.body is None:
                continue
            if bodies.nbytes_of(answer.body) > _LARGE:
                if self._fetchers is None:
                    self._fetchers = ThreadPoolExecutor(_MOST_AHEAD, "flwr-fetch")
                ahead[index] = self._fetchers.submit(self._open, pushed.instructions[index], answer)

    def _give(
        self, pushed: PushedMessages, index: int, fetched: Future[Message] | None = None
    ) -> Message:
        """Return the reply to a message that has been answered."""
        instruction = pushed.instructions[index]
        refused = pushed.refused.get(instruction.message_id)
        answer = self._inbox.take(instruction.message_id)
        if fetched is not None:
            reply = fetched.result()
        elif refused is not None or answer is None:
            reply = answered(instruction, refused or _NO_REPLY)
        else:
            reply = self._open(instruction, answer)
        with self._lock:
            pushed.note(index, reply, answer.seconds if answer else 0.0)
        return reply

    def _open(self, instruction: Metadata, answer: appio.Answer) -> Message:
        """Make a message of an answer; what a node sends wrong becomes an error of that node."""
        if answer.error is not None:
            return answered(instruction, Error(answer.error.code, answer.error.reason))
        try:
            metadata = decode_metadata(msgspec.msgpack.decode(answer.meta))
            content = bodies.unpack(answer.body or Body(), self._link.download)
            return answered(instruction, Message(metadata=metadata, content=content))
        except (ParcelError, msgspec.DecodeError) as error:
            reason = str(error)
        except RefusedError as error:
            if error.code not in _BAD_REPLY:
                raise
            reason = error.message
        code = ErrorCode.REPLY_MESSAGE_UNAVAILABLE
        return answered(instruction, Error(code, f"The reply cannot be read: {reason}"))

    def _pull(self, message_id: str) -> Message | None:
        pushed, index = self._pushed.get(message_id, (None, 0))
        if pushed is None:
            return self._pull_foreign(message_id)
        if message_id not in pushed.refused and self._inbox.peek(message_id) is None:
            return None
        with self._lock:
            self._pushed.pop(message_id, None)
        reply = self._give(pushed, index)
        if len(pushed.taken) == len(pushed.ids):
            self._tell(pushed)
        return reply

    def _pull_foreign(self, message_id: str) -> Message | None:
        """Return the reply to a message that an earlier process of this run has sent."""
        answer = self._inbox.take(message_id)
        if answer is None and self._restored:
            return None
        instruction = Metadata(
            run_id=self._run.run_id,
            message_id=message_id,
            src_node_id=SUPERLINK_NODE_ID,
            dst_node_id=SUPERLINK_NODE_ID if answer is None else answer.node_id,
            reply_to_message_id="",
            group_id="",
            created_at=time.time(),
            ttl=0,
            message_type="system",
        )
        if answer is None:
            return answered(instruction, _NO_REPLY)
        with self._lock:
            self._scopes.current.done.append(message_id)
        return self._open(instruction, answer)

    def _tell(self, pushed: PushedMessages) -> None:
        event = pushed.told()
        if event is not None:
            self.emit(event)


_NO_REPLY = Error(
    ErrorCode.MESSAGE_UNAVAILABLE, "No reply: the id is unknown, or its reply was pulled."
)


def _check(message: Message) -> None:
    if not message.metadata.ttl >= 0:
        raise ValueError(
            f"Invalid message: its ttl must be seconds, 0 or more, not {message.metadata.ttl}."
        )
    if not message.has_content():
        raise ValueError("Invalid message: it has no content.")
