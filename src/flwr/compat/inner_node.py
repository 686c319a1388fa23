"""A node inside this process, whose messages are answered in the calling thread."""

import queue
import socket
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from logging import INFO
from pathlib import Path
from typing import Any

from flwr.app import Context, Error, Message, RecordDict
from flwr.app.error import ErrorCode
from flwr.errors import EngineError
from flwr.log import log
from flwr.runtime import bodies
from flwr.runtime.codec import StoredState
from flwr.runtime.handler import describe
from flwr.supernode.identity import identity_of
from flwr.supernode.lanes import Patience
from flwr.supernode.loop import Node, NodeSettings
from flwr.supernode.workers import Handled
from flwr.transport.address import Address
from flwr.transport.client import Link
from flwr.transport.parts import Body
from flwr.transport.tls import ClientTls

__all__ = ["Answer", "Patience", "take_part"]

Answer = Callable[[Message, Context], Message]


def take_part(
    answer: Answer,
    last: str,
    address: Address,
    tls: ClientTls | None,
    patience: Patience,
    folder: Path,
) -> None:
    """Connect to a server and answer its messages in this thread, until one is the last.

    Parameters
    ----------
    answer : Callable[[Message, Context], Message]
        Answers. What it raises is sent as an error, and raised here.
    last : str
        The type of the last message.
    address : Address
        The server's.
    tls : ClientTls or None
        Whom to believe; None: plain HTTP.
    patience : Patience
        How long to try to reach the server.
    folder : Path
        Who the node is, and files that may go afterwards.

    Raises
    ------
    LinkError
        If the server cannot be reached any more, or refuses.
    """
    desk = _Desk()
    with identity_of(folder / "node") as identity:
        link = Link(address, tls=tls, token=identity.secret, patience=patience.seconds)
        settings = NodeSettings(
            folder / "apps",
            name=socket.gethostname(),
            patience=patience,
            worker=lambda: _DeskWorker(desk),
            sent=lambda: desk.sent.put(True),
        )
        node = Node(settings, identity, link)
        thread = threading.Thread(target=desk.watch, args=(node,), name="flwr-node", daemon=True)
        thread.start()
        try:
            desk.work(answer, last)
        finally:
            node.stop()
            thread.join()
    if desk.fault is not None:
        raise desk.fault


class _Asked:
    """A message that waits for its answer."""

    def __init__(self, message: Message, node_config: Mapping[str, Any]) -> None:
        self.message = message
        self.node_config = node_config
        self.answer: Future[Message | Error] = Future()


class _Desk:
    """Where the node's threads leave messages, and the calling thread answers them.

    Attributes
    ----------
    asked : queue of _Asked
        The messages; None when the node has ended.
    sent : queue of bool
        True for each reply that is on its way; False when the node has ended.
    fault : BaseException or None
        What ended the node.
    """

    def __init__(self) -> None:
        self.asked: queue.SimpleQueue[_Asked | None] = queue.SimpleQueue()
        self.sent: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self.fault: BaseException | None = None
        self._contexts: dict[int, Context] = {}

    def watch(self, node: Node) -> None:
        """Run the node to its end, in a thread of its own."""
        try:
            node.run()
        except BaseException as error:
            self.fault = error
        self.asked.put(None)
        self.sent.put(False)

    def work(self, answer: Answer, last: str) -> None:
        """Answer messages until the last one, or until the node has ended."""
        while (asked := self.asked.get()) is not None:
            try:
                reply = answer(asked.message, self._context(asked))
            except Exception as error:
                code = ErrorCode.CLIENT_APP_RAISED_EXCEPTION
                asked.answer.set_result(Error(code, describe(error)))
                self.sent.get()
                raise
            asked.answer.set_result(reply)
            sent = self.sent.get()
            if asked.message.metadata.message_type == last:
                return
            if sent:
                log(INFO, "Sent reply")

    def _context(self, asked: _Asked) -> Context:
        metadata = asked.message.metadata
        run_id, node_id = metadata.run_id, metadata.dst_node_id
        new = Context(run_id, node_id, dict(asked.node_config), RecordDict(), {})
        return self._contexts.setdefault(run_id, new)


class _DeskWorker:
    """Hands messages over to the desk: the worker of a node without processes."""

    killed = False

    def __init__(self, desk: _Desk) -> None:
        self._desk = desk
        self._asked: _Asked | None = None
        self.closed = False

    def put_state(self, node_id: int, state: StoredState | None) -> None:
        """Do nothing: contexts stay at the desk."""

    def receive(self, body: Body, fetch: bodies.Fetch) -> RecordDict:
        """Return the content of a message."""
        return bodies.unpack(body, fetch)

    def handle(self, message: Message, node_config: Mapping[str, Any], seed: int) -> Handled:
        """Wait for the answer to a message.

        Raises
        ------
        EngineError
            If the worker was closed meanwhile.
        """
        self._asked = _Asked(message, node_config)
        self._desk.asked.put(self._asked)
        began = time.perf_counter()
        reply = self._asked.answer.result()
        return Handled(reply, time.perf_counter() - began, None, changed=False)

    def close(self) -> None:
        """Let nobody wait for an answer any more."""
        self.closed = True
        if self._asked is not None and not self._asked.answer.done():
            self._asked.answer.set_exception(EngineError("The client has gone."))
