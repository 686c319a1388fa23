"""A hub of a few lines over real sockets: what a node needs of one, and ways to misbehave."""

import asyncio
import contextlib
import os
import tempfile
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from flwr import clock
from flwr.app import Message, RecordDict
from flwr.errors import RefusedError
from flwr.runtime import bodies
from flwr.runtime.fab import fab_hash_of
from flwr.runtime.fabbuild import build
from flwr.transport import fleet
from flwr.transport.address import Address
from flwr.transport.call import Access, Caller, Refusal
from flwr.transport.fleet import Exchange, Exchanged, Hello, Leave, Reply, Welcome, Work
from flwr.transport.parts import Body, Fab, Nothing, RunQuestion, RunSheet
from flwr.transport.server import Api, Listen, Servers, serve
from flwr.wire.content import seal_content
from flwr.wire.records import encode_metadata

NODE_ID = 77
_encode = msgspec.msgpack.Encoder().encode


class FakeHub:
    """Runs, messages and objects in memory; one node.

    Attributes
    ----------
    replies : dict
        Accepted replies by message id.
    exchanges : list
        All exchanges that came.
    handed_out : list
        Ids of messages in the order in which they were handed out, again if so.
    clock_ahead : float
        Seconds by which the hub's clock (and the ServerApp's) is ahead of this machine's.
    corrupt, shorten : set
        Ids of objects that are given wrongly.
    """

    def __init__(self) -> None:
        self.replies: dict[str, Reply] = {}
        self.exchanges: list[Exchange] = []
        self.hellos: list[Hello] = []
        self.left: list[int] = []
        self.handed_out: list[str] = []
        self.downloads: list[str] = []
        self.uploads: list[str] = []
        self.objects: dict[str, bytes] = {}
        self.corrupt: set[str] = set()
        self.shorten: set[str] = set()
        self.clock_ahead = 0.0
        self.deaf = False  # takes replies, and says nothing of it
        self.before_whole: Callable[[], None] | None = None  # called when an upload has come
        self.refuse: RefusedError | None = None
        self.sheets: dict[int, RunSheet] = {}
        self.fabs: dict[int, bytes] = {}
        self.ended: set[int] = set()
        self.port = 0
        self._epochs: dict[str, tuple[int, str]] = {}  # by token: epoch, instance
        self._open: dict[str, tuple[Work, Body]] = {}
        self._changed = threading.Condition()
        self._parked: asyncio.Event | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._servers: Servers | None = None
        self.start()

    # -- the hub's life

    def start(self) -> None:
        """Listen, at the same port as before."""
        self._servers = self._do(self._listen())
        self.port = self._servers.addresses[0].port

    def stop(self, *, forget: bool = False) -> None:
        """Vanish, and perhaps lose everything that was known of nodes."""
        assert self._servers is not None
        self._do(self._servers.close(0.1))
        self._servers = None
        if forget:
            self._epochs.clear()

    def close(self) -> None:
        """End."""
        if self._servers is not None:
            self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    @property
    def address(self) -> Address:
        return Address("127.0.0.1", self.port)

    def _do(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(20)

    async def _listen(self) -> Servers:
        handlers: dict[Any, Any] = {
            fleet.HELLO: self._hello,
            fleet.EXCHANGE: self._exchange,
            fleet.LEAVE: self._leave,
            fleet.RUN: self._run,
            fleet.FAB: self._fab,
        }
        api = Api("fleet", handlers, self._authenticate, self)
        return await serve([Listen(Address("127.0.0.1", self.port), [api])])

    # -- for tests

    def add_run(self, run_id: int, app_dir: Path, **run_config: Any) -> None:
        fab = build(app_dir).content
        self.fabs[run_id] = fab
        self.sheets[run_id] = RunSheet(run_id, fab_hash=fab_hash_of(fab), run_config=run_config)

    def push(
        self,
        content: RecordDict,
        message_type: str = "train",
        *,
        run_id: int = 1,
        ttl: float = 600,
        message_id: str = "",
        shorten: bool = False,
        corrupt: bool = False,
        lose: bool = False,
    ) -> str:
        """Send a message to the node, perhaps with something wrong; returns its id."""
        message = Message(content, NODE_ID, message_type, ttl=ttl, group_id="1")
        message.metadata.created_at = clock.unix_now() + self.clock_ahead
        message_id = message_id or str(uuid.uuid4())
        message.metadata.stamp(run_id=run_id, src_node_id=1, message_id=message_id)
        body = bodies.pack(seal_content(content), self._keep)
        objects = {part.object_id for part in body.parts if part.object_id}
        self.shorten |= objects if shorten else set()
        self.corrupt |= objects if corrupt else set()
        for object_id in objects if lose else ():
            del self.objects[object_id]
        meta = _encode(encode_metadata(message.metadata))
        with self._changed:
            self._open[message_id] = Work(message_id, run_id, meta, 0, age=0.0, ttl=ttl), body
        self.wake()
        return message_id

    def reply(self, message_id: str, timeout: float = 30.0) -> Reply:
        self.wait_for(lambda: message_id in self.replies, timeout)
        return self.replies[message_id]

    def content(self, message_id: str) -> RecordDict:
        reply = self.reply(message_id)
        assert reply.error is None, reply.error
        assert reply.body is not None

        def fetch(object_id: str, into: memoryview) -> None:
            into[:] = self.objects[object_id]

        return bodies.unpack(reply.body, fetch)

    def wait_for(self, condition: Callable[[], bool], timeout: float = 30.0) -> None:
        with self._changed:
            if not self._changed.wait_for(condition, timeout):
                raise AssertionError(f"waited {timeout} s in vain; {len(self.exchanges)} exchanges")

    def holding(self) -> list[str]:
        """Return what the node said last that it holds."""
        return self.exchanges[-1].holding if self.exchanges else []

    def end_run(self, run_id: int) -> None:
        with self._changed:
            self.ended.add(run_id)
            self._open = {k: v for k, v in self._open.items() if v[0].run_id != run_id}
        self.wake()

    def drop(self, message_id: str) -> None:
        with self._changed:
            del self._open[message_id]
        self.wake()

    def wake(self) -> None:
        self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        if self._parked is not None:
            self._parked.set()

    def _keep(self, object_id: str, data: memoryview) -> None:
        self.objects[object_id] = bytes(data)

    def _note(self) -> None:
        with self._changed:
            self._changed.notify_all()

    # -- the protocol

    async def _authenticate(self, access: Access, token: str, peer: str) -> Caller:
        return Caller(access, node_id=NODE_ID, address=peer, token_hash=token)

    async def _hello(self, hello: Hello, caller: Caller) -> Welcome:
        if self.refuse is not None:
            raise self.refuse
        epoch, instance = self._epochs.get(caller.token_hash, (0, ""))
        if instance != hello.instance:
            epoch += 1
        self._epochs[caller.token_hash] = epoch, hello.instance
        self.hellos.append(hello)
        self._note()
        return Welcome(NODE_ID, epoch)

    async def _exchange(self, exchange: Exchange, caller: Caller) -> Exchanged:
        known = self._epochs.get(caller.token_hash)
        if known is None:
            raise RefusedError(Refusal.UNKNOWN_NODE, "Who are you?")
        if exchange.epoch < known[0]:
            raise RefusedError(Refusal.SUPERSEDED, "There is a newer process of this node.")
        accepted, dropped = self._accept(exchange)
        mine = asyncio.Event()
        older, self._parked = self._parked, mine
        if older is not None:
            older.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(exchange.wait):
                while self._parked is mine:
                    answer = self._answer(exchange, accepted, dropped)
                    if answer.work or answer.dropped or answer.ended_runs:
                        return answer
                    await mine.wait()
                    mine.clear()
        return Exchanged(accepted=accepted)

    def _accept(self, exchange: Exchange) -> tuple[list[str], list[str]]:
        accepted: list[str] = []
        dropped: list[str] = []
        with self._changed:
            self.exchanges.append(exchange)
            for reply in exchange.done:
                missing = [
                    p.object_id
                    for p in (reply.body.parts if reply.body else [])
                    if p.object_id and p.object_id not in self.objects
                ]
                if missing or self.deaf:
                    continue
                if reply.message_id in self._open or reply.message_id in self.replies:
                    self._open.pop(reply.message_id, None)
                    self.replies.setdefault(reply.message_id, reply)
                    accepted.append(reply.message_id)
                else:
                    dropped.append(reply.message_id)
            self._changed.notify_all()
        return accepted, dropped

    def _answer(self, exchange: Exchange, accepted: list[str], dropped: list[str]) -> Exchanged:
        done = {reply.message_id for reply in exchange.done}
        work: list[Work] = []
        contents: list[Body] = []
        with self._changed:
            gone = dropped + [key for key in exchange.holding if key not in self._open]
            for message_id, (found, body) in self._open.items():
                held = message_id in exchange.holding or message_id in done
                if not held and len(work) < exchange.capacity:
                    self.handed_out.append(message_id)
                    work.append(msgspec.structs.replace(found, body=len(contents)))
                    contents.append(body)
            self._changed.notify_all()
        ended = [run for run in exchange.runs if run in self.ended]
        return Exchanged(work, contents, accepted, gone, ended)

    async def _leave(self, leave: Leave, caller: Caller) -> Nothing:
        self.left.append(leave.epoch)
        self._note()
        return Nothing()

    async def _run(self, question: RunQuestion, caller: Caller) -> RunSheet:
        return self.sheets[question.run_id]

    async def _fab(self, question: RunQuestion, caller: Caller) -> Fab:
        return Fab(self.sheets[question.run_id].fab_hash, self.fabs[question.run_id])

    # -- objects

    async def offset(self, caller: Caller, object_id: str) -> int | None:
        return None if object_id in self.objects else 0

    async def receive(
        self, caller: Caller, object_id: str, offset: int, size: int, chunks: AsyncIterator[bytes]
    ) -> tuple[bool, int]:
        data = b"".join([chunk async for chunk in chunks])
        if len(data) < size:
            return False, 0
        if bodies.hash_of(data) != object_id:
            raise RefusedError(Refusal.WRONG_HASH, "That is another object.")
        if self.before_whole is not None:
            await asyncio.to_thread(self.before_whole)
        self.objects[object_id] = data
        self.uploads.append(object_id)
        self._note()
        return True, size

    async def open(self, caller: Caller, object_id: str) -> tuple[int, int]:
        if object_id not in self.objects:
            raise RefusedError(Refusal.UNKNOWN_OBJECT, f"There is no object {object_id}.")
        data = self.objects[object_id]
        self.downloads.append(object_id)
        size = len(data)
        if object_id in self.corrupt:
            data = bytes([data[0] ^ 1]) + data[1:]
        if object_id in self.shorten:
            self.shorten.discard(object_id)
            data = data[: len(data) // 2]
        with tempfile.TemporaryFile() as file:
            file.write(data)
            file.flush()
            return os.dup(file.fileno()), size


@contextlib.contextmanager
def fake_hub() -> Iterator[FakeHub]:
    hub = FakeHub()
    try:
        yield hub
    finally:
        hub.close()
