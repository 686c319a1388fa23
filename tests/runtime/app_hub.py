"""A hub of a few lines over real sockets: what a ServerApp needs of one, with nodes inside."""

import asyncio
import os
import tempfile
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

from flwr.app import Error, Message, RecordDict
from flwr.errors import RefusedError
from flwr.runtime import bodies
from flwr.runtime.fab import fab_hash_of
from flwr.transport import appio
from flwr.transport.address import Address
from flwr.transport.call import Access, Caller, Refusal
from flwr.transport.client import Link
from flwr.transport.parts import Body, Fab, Fault, Nothing, RunSheet
from flwr.transport.server import Api, Listen, Servers, serve
from flwr.wire.content import seal_content
from flwr.wire.records import decode_metadata, encode_metadata

RUN_ID = 5
Node = Callable[[Message], RecordDict | Error]
_encode = msgspec.msgpack.Encoder().encode


class AppHub:
    """One run and its nodes. What nodes do runs in threads.

    Attributes
    ----------
    nodes : dict
        What each node makes of a message.
    worked : Counter
        How often each message was handled.
    messages, answers, checkpoints, objects : dict
        What a real hub would keep.
    """

    def __init__(self, nodes: dict[int, Node] | None = None, fab: bytes = b"") -> None:
        self.nodes = nodes or {}
        self.fab = fab
        self.told_fab_hash = ""
        self.run_config: dict[str, Any] = {}
        self.worked: Counter[str] = Counter()
        self.messages: dict[str, tuple[Any, ...]] = {}
        self.answers: dict[str, appio.Answer] = {}
        self.checkpoints: dict[int, appio.Checkpoint] = {}
        self.objects: dict[str, bytes] = {}
        self.uploads: list[str] = []
        self.downloads: list[str] = []
        self.asked: Counter[str] = Counter()
        self.pushes: list[appio.Push] = []
        self.collects: list[appio.Collect] = []
        self.reports: list[appio.Report] = []
        self.finished: appio.Finish | None = None
        self.refuse: RefusedError | None = None
        self.lose: set[str] = set()  # ids of objects that are not there when they are fetched
        self.simulation: dict[str, Any] | None = None
        self.ended: list[appio.Ended] = []
        self.on_checkpoint: Callable[[int], None] = lambda _: None  # called with how many came
        self.attempt = 1
        self.port = 0
        self._wanted: list[appio.Launch] = []
        self._unwanted: list[appio.Launched] = []
        self._seq = 0
        self._links: list[Link] = []
        self._loop = asyncio.new_event_loop()
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._servers: Servers | None = None
        self.start()

    # -- its life

    def start(self) -> None:
        """Listen, at the same port as before."""
        self._servers = self.do(self._listen())
        self.port = self._servers.addresses[0].port

    def stop(self) -> None:
        """Vanish; what it keeps stays."""
        assert self._servers is not None
        self.do(self._servers.close(0.0))
        self._servers = None

    def __enter__(self) -> "AppHub":
        return self

    def __exit__(self, *_: object) -> None:
        for link in self._links:
            link.close()
        if self._servers is not None:
            self.stop()
        self.do(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def link(self, **settings: Any) -> Link:
        link = Link(self.address, tls=None, token=f"token-{self.attempt}", **settings)
        self._links.append(link)
        return link

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def text(self) -> str:
        """All that was told."""
        return "".join(report.text for report in self.reports)

    @property
    def events(self) -> list[appio.Told]:
        return [event for report in self.reports for event in report.events]

    def do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def add_node(self, node_id: int, node: Node) -> None:
        async def add() -> None:
            async with self._changed:
                self.nodes[node_id] = node
                self._changed.notify_all()

        self.do(add())

    def want(self, launch: appio.Launch) -> None:
        """Have a process launched."""

        async def want() -> None:
            async with self._changed:
                self._wanted.append(launch)
                self._changed.notify_all()

        self.do(want())

    def want_no_more(self, launched: appio.Launched) -> None:
        """Have a process ended."""

        async def want() -> None:
            async with self._changed:
                self._unwanted.append(launched)
                self._changed.notify_all()

        self.do(want())

    def has_text(self, text: str) -> None:
        """Wait until it was told."""
        for _ in range(1500):
            if text in self.text:
                return
            threading.Event().wait(0.02)
        raise TimeoutError(f"{text!r} is not in {self.text!r}")

    def has_ends(self, count: int) -> None:
        """Wait until so many ends of processes were told."""
        for _ in range(1500):
            if len(self.ended) >= count:
                return
            threading.Event().wait(0.02)
        raise TimeoutError(f"{len(self.ended)} of {count} ends were told")

    def end_run(self) -> None:
        """End the run from outside."""

        async def end() -> None:
            async with self._changed:
                self.refuse = RefusedError(Refusal.RUN_ENDED, "The run has ended.")
                self._changed.notify_all()

        self.do(end())

    async def _listen(self) -> Servers:
        handlers = {
            appio.INPUTS: self._inputs,
            appio.FAB: self._fab,
            appio.PUSH: self._push,
            appio.COLLECT: self._collect,
            appio.NODES: self._list,
            appio.CHECKPOINT: self._checkpoint,
            appio.RESTORE: self._restore,
            appio.REPORT: self._report,
            appio.FINISH: self._finish,
            appio.LAUNCH: self._launch,
        }
        api = Api("app", handlers, self._authenticate, self)
        return await serve([Listen(Address("127.0.0.1", self.port), [api])])

    async def _authenticate(self, rule: Access, token: str, _peer: str) -> Caller:
        if rule == Access.OPEN:
            return Caller(Access.OPEN)
        if token != f"token-{self.attempt}":
            raise RefusedError(Refusal.SUPERSEDED, "There is a newer attempt.")
        return Caller(Access.APP, run_id=RUN_ID, attempt=self.attempt)

    # -- calls

    def _note(self, name: str) -> None:
        self.asked[name] += 1
        if self.refuse is not None:
            raise self.refuse

    async def _inputs(self, _: Nothing, caller: Caller) -> appio.Inputs:
        self._note("inputs")
        fab_hash = self.told_fab_hash or fab_hash_of(self.fab)
        sheet = RunSheet(RUN_ID, "me/app", "1", fab_hash, run_config=self.run_config)
        return appio.Inputs(sheet, caller.attempt, self.simulation)

    async def _fab(self, _: Any, __: Caller) -> Fab:
        return Fab(fab_hash_of(self.fab), self.fab)

    async def _push(self, request: appio.Push, _: Caller) -> appio.Pushed:
        self._note("push")
        self.pushes.append(request)
        known, refused = [], []
        for message in request.messages:
            body = request.bodies[message.body]
            for part in body.parts:
                if part.object_id and part.object_id not in self.objects:
                    raise RefusedError(Refusal.UNKNOWN_OBJECT, f"There is no {part.object_id}.")
            what = (message.node_id, message.message_type, bodies.body_id(body))
            if message.message_id in self.messages:
                known.append(message.message_id)
                if self.messages[message.message_id] != what:
                    refused.append(appio.Refused(message.message_id, "its content differs"))
                continue
            if message.node_id not in self.nodes:
                refused.append(appio.Refused(message.message_id, "There is no such node.", 5))
                continue
            self.messages[message.message_id] = what
            task = asyncio.create_task(self._work(message, body))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        replies = [] if request.collect is None else await self._replies(request.collect)
        return appio.Pushed(known, refused, replies)

    async def _work(self, sent: appio.Message, body: Body) -> None:
        await asyncio.to_thread(self._handle, sent, body)
        async with self._changed:
            self._changed.notify_all()

    def _handle(self, sent: appio.Message, body: Body) -> None:
        content = bodies.unpack(body, self._give)
        metadata = decode_metadata(msgspec.msgpack.decode(sent.meta))
        message = Message(metadata=metadata, content=content)
        self.worked[sent.message_id] += 1
        made = self.nodes[sent.node_id](message)
        meta, answer, error = b"", None, None
        if isinstance(made, Error):
            error = Fault(made.code, made.reason or "")
        else:
            reply = Message(made, reply_to=message)
            meta = _encode(encode_metadata(reply.metadata))
            answer = bodies.pack(seal_content(made), self._put)
        self._loop.call_soon_threadsafe(self._answer, sent, meta, answer, error)

    def _answer(
        self, sent: appio.Message, meta: bytes, body: Body | None, error: Fault | None
    ) -> None:
        if sent.message_id in self.messages:
            self._seq += 1
            self.answers[sent.message_id] = appio.Answer(
                self._seq, sent.message_id, sent.node_id, meta, body, error, 0.5
            )

    def _put(self, object_id: str, data: memoryview) -> None:
        self.objects[object_id] = bytes(data)

    def _give(self, object_id: str, into: memoryview) -> None:
        into[:] = self.objects[object_id]

    async def _collect(self, request: appio.Collect, _: Caller) -> appio.Collected:
        self._note("collect")
        self.collects.append(request)
        return appio.Collected(await self._replies(request))

    async def _replies(self, request: appio.Collect) -> list[appio.Answer]:
        def found() -> list[appio.Answer]:
            rows = sorted(self.answers.values(), key=lambda answer: answer.seq)
            return [row for row in rows if row.seq > request.after][: request.limit]

        async with self._changed:
            await self._until(
                lambda: len(found()) >= request.atleast or self.refuse is not None, request.wait
            )
        if self.refuse is not None:
            raise self.refuse
        return found()

    async def _until(self, condition: Callable[[], bool], seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait_for(condition)
        except TimeoutError:
            return

    async def _list(self, request: appio.NodeQuestion, _: Caller) -> appio.Nodes:
        self._note("nodes")
        async with self._changed:
            await self._until(lambda: len(self.nodes) >= request.atleast, request.wait)
        return appio.Nodes([appio.Node(node_id) for node_id in self.nodes])

    async def _checkpoint(self, request: appio.Checkpoint, _: Caller) -> Nothing:
        self._note("checkpoint")
        before = self.checkpoints.get(request.scope)
        assert request.step == (0 if before is None else before.step + 1)
        self.checkpoints[request.scope] = request
        for message_id in request.release:
            self.messages.pop(message_id, None)
            self.answers.pop(message_id, None)
        self.on_checkpoint(self.asked["checkpoint"])
        return Nothing()

    async def _restore(self, request: appio.ScopeQuestion, _: Caller) -> appio.Restored:
        self._note("restore")
        return appio.Restored(self.checkpoints.get(request.scope))

    async def _report(self, request: appio.Report, _: Caller) -> appio.Reported:
        self.reports.append(request)
        return appio.Reported(stop=self.refuse is not None)

    async def _finish(self, request: appio.Finish, _: Caller) -> Nothing:
        self.finished = request
        return Nothing()

    async def _launch(self, request: appio.Launching, _: Caller) -> appio.Launches:
        self.ended += request.ended
        async with self._changed:
            await self._until(
                lambda: bool((self._wanted and request.capacity) or self._unwanted), request.wait
            )
            start, self._wanted = self._wanted[: request.capacity], self._wanted[request.capacity :]
            stop, self._unwanted = self._unwanted, []
        return appio.Launches(start, stop)

    # -- objects

    async def offset(self, _: Caller, object_id: str) -> int | None:
        return None if object_id in self.objects else 0

    async def receive(
        self, _: Caller, object_id: str, offset: int, size: int, chunks: AsyncIterator[bytes]
    ) -> tuple[bool, int]:
        data = b"".join([chunk async for chunk in chunks])
        if bodies.hash_of(data) != object_id:
            raise RefusedError(Refusal.WRONG_HASH, "These bytes have another hash.")
        self.objects[object_id] = data
        self.uploads.append(object_id)
        return True, size

    async def open(self, _: Caller, object_id: str) -> tuple[int, int]:
        if object_id not in self.objects or object_id in self.lose:
            raise RefusedError(Refusal.UNKNOWN_OBJECT, f"There is no {object_id}.")
        self.downloads.append(object_id)
        with tempfile.TemporaryFile() as file:
            file.write(self.objects[object_id])
            file.flush()
            return os.dup(file.fileno()), len(self.objects[object_id])
