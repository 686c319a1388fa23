"""Work for hosts of ClientApps: other processes, which a node with ``--isolation process`` serves.

All state belongs to one event loop in a thread of its own. A run's thread offers a message and
waits; hosts take what is offered, and bring results. A host that is gone loses what it had taken.
"""

import asyncio
import contextlib
import os
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
from blake3 import blake3

from flwr.errors import EngineError, RefusedError
from flwr.runtime.bodies import hash_of
from flwr.runtime.codec import StoredState
from flwr.supernode.cache import ObjectCache
from flwr.supernode.spool import Spool, check_object_id, objects_of
from flwr.supernode.workers import Outcome
from flwr.transport import clientio
from flwr.transport.address import Address
from flwr.transport.call import Access, Caller, Refusal
from flwr.transport.clientio import Job, Result, Take, Taken
from flwr.transport.parts import INLINE_BYTES, Body, Fab, Part, RunQuestion, RunSheet
from flwr.transport.server import Api, Listen, Servers, serve
from flwr.transport.tls import ServerTls
from flwr.wire.records import decode_metadata

_AWAY_SECONDS = 5.0  # after which a host that asks for nothing has lost what it took
_BROKEN_SECONDS = 1.0  # the same after its connection broke: a live one calls again at once
_RETRY_AFTER = 1.0
_decode = msgspec.msgpack.Decoder().decode
T = TypeVar("T")


@dataclass(eq=False)
class _Offer:
    """A message that hosts may take."""

    job: Job
    result: "Future[Result]" = field(default_factory=Future)
    host: str = ""  # who has it


@dataclass(eq=False)
class _Host:
    """A process that hosts ClientApps."""

    changed: asyncio.Event = field(default_factory=asyncio.Event)
    turn: int = 0  # of its newest call
    away: asyncio.TimerHandle | None = None


class HostDesk:
    """What is offered to hosts, and the port at which they take it.

    Parameters
    ----------
    spool, cache : Spool, ObjectCache
        The node's: where objects come from and go to.
    incoming : Path
        A folder for what hosts are sending.
    describe_run, fab_of : callable
        Ask the hub about a run.
    """

    def __init__(
        self,
        spool: Spool,
        cache: ObjectCache,
        incoming: Path,
        describe_run: Callable[[int], RunSheet],
        fab_of: Callable[[int], bytes],
    ) -> None:
        self._cache = cache
        self._describe_run = describe_run
        self._fab_of = fab_of
        self._offers: dict[str, _Offer] = {}
        self._hosts: dict[str, _Host] = {}
        self._ended: set[int] = set()
        self._closing = False
        self.shelf = HostShelf(spool, cache, incoming)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="hosts", daemon=True)
        self._servers: Servers | None = None

    # -- for the node's threads

    def open(self, address: Address, tls: ServerTls | None) -> Address:
        """Listen, and return the real address."""
        self._thread.start()
        api = Api(
            "client",
            {clientio.TAKE: self.take, clientio.RUN: self.run, clientio.FAB: self.fab},
            _authenticate,
            self.shelf,
        )
        try:
            self._servers = self._do(serve([Listen(address, [api], tls)]))
        except BaseException:
            self._end_loop()
            raise
        return self._servers.addresses[0]

    def close(self) -> None:
        """Send hosts away, and stop listening."""
        self._loop.call_soon_threadsafe(self._begin_closing)
        if self._servers is not None:
            self._do(self._servers.close(1.0))
        self._end_loop()

    def executor(self) -> "RemoteExecutor":
        """Return what handles a run's messages by offering them here."""
        return RemoteExecutor(self)

    def offer(self, job: Job) -> "Future[Result]":
        """Offer a message; the future has the result, or is cancelled."""
        offer = _Offer(job)
        self._loop.call_soon_threadsafe(self._add, offer)
        return offer.result

    def withdraw(self, job_id: str) -> None:
        """Take back what was offered: hosts stop working at it."""
        self._loop.call_soon_threadsafe(self._remove, job_id)

    def end_run(self, run_id: int) -> None:
        """Have hosts end what they keep of a run."""
        self._loop.call_soon_threadsafe(self._note_end, run_id)

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # -- in the loop

    def _add(self, offer: _Offer) -> None:
        self._offers[offer.job.job_id] = offer
        self._tell_hosts()

    def _remove(self, job_id: str) -> None:
        offer = self._offers.pop(job_id, None)
        if offer is not None:
            offer.result.cancel()
            self._tell_hosts()

    def _note_end(self, run_id: int) -> None:
        self._ended.add(run_id)
        self._tell_hosts()

    def _begin_closing(self) -> None:
        self._closing = True
        for offer in self._offers.values():
            offer.result.cancel()
        self._offers.clear()
        self._tell_hosts()

    def _tell_hosts(self) -> None:
        for host in self._hosts.values():
            host.changed.set()

    async def take(self, request: Take, _caller: Caller) -> Taken:
        """Take a host's results, and give it work when there is some."""
        host = self._hosts.setdefault(request.instance, _Host())
        if host.away is not None:
            host.away.cancel()
        host.turn += 1
        turn = host.turn
        host.changed.set()  # an older call of this host ends
        accepted, dropped = self._accept(request)
        until = self._loop.time() + request.wait
        patience = _AWAY_SECONDS
        try:
            while True:
                taken = self._answer(request, accepted, dropped, host, turn)
                if taken is not None:
                    return taken
                host.changed.clear()
                async with asyncio.timeout_at(until):
                    await host.changed.wait()
        except TimeoutError:
            return Taken(accepted=accepted, dropped=dropped)
        except asyncio.CancelledError:
            patience = _BROKEN_SECONDS
            raise
        finally:
            if host.turn == turn:
                host.away = self._loop.call_later(patience, self._lose, request.instance)

    async def run(self, request: RunQuestion, _caller: Caller) -> RunSheet:
        """Describe a run."""
        return await asyncio.to_thread(self._describe_run, request.run_id)

    async def fab(self, request: RunQuestion, _caller: Caller) -> Fab:
        """Give a run's app."""
        content = await asyncio.to_thread(self._fab_of, request.run_id)
        sheet = await asyncio.to_thread(self._describe_run, request.run_id)
        return Fab(sheet.fab_hash, content)

    def _accept(self, request: Take) -> tuple[list[str], list[str]]:
        accepted: list[str] = []
        dropped: list[str] = []
        for result in request.done:
            offer = self._offers.pop(result.job_id, None)
            if offer is None:
                dropped.append(result.job_id)
            else:
                offer.result.set_result(result)
                accepted.append(result.job_id)
        return accepted, dropped

    def _answer(
        self, request: Take, accepted: list[str], dropped: list[str], host: _Host, turn: int
    ) -> Taken | None:
        """Return what a host must hear now, if anything."""
        if self._closing:
            return Taken(accepted=accepted, dropped=dropped, retry_after=_RETRY_AFTER)
        if host.turn != turn:
            return Taken(accepted=accepted, dropped=dropped)
        gone = dropped + [key for key in request.holding if key not in self._offers]
        ended = [run_id for run_id in request.runs if run_id in self._ended]
        jobs = self._jobs_for(request)
        if not (gone or ended or jobs):
            return None
        return Taken(jobs, accepted, gone, ended)

    def _jobs_for(self, request: Take) -> list[Job]:
        jobs: list[Job] = []
        for job_id, offer in self._offers.items():
            mine = offer.host == request.instance and job_id not in request.holding
            if (not offer.host or mine) and len(jobs) < request.capacity:
                offer.host = request.instance
                jobs.append(offer.job)
        return jobs

    def _lose(self, instance: str) -> None:
        """Offer to others what a host had taken that is gone."""
        self._hosts.pop(instance, None)
        for offer in self._offers.values():
            if offer.host == instance:
                offer.host = ""
        self._tell_hosts()


async def _authenticate(access: Access, _token: str, peer: str) -> Caller:
    """Let in whoever reaches the port, as its address decides."""
    return Caller(access, address=peer)


class RemoteExecutor:
    """Handles a run's messages in whichever host takes them.

    Parameters
    ----------
    desk : HostDesk
        Where they are offered.
    """

    def __init__(self, desk: HostDesk) -> None:
        self._desk = desk
        self._offered = ""

    def execute(
        self, job: Job, state: Callable[[], StoredState | None], stopped: Callable[[], bool]
    ) -> Outcome | None:
        """Offer a message and wait for its result; ``None`` if it was stopped."""
        with self._desk.shelf.receiving():
            return self._execute(job, state, stopped)

    def _execute(
        self, job: Job, state: Callable[[], StoredState | None], stopped: Callable[[], bool]
    ) -> Outcome | None:
        shelf = self._desk.shelf
        shelf.make_ready(job.body)
        known = state()
        with_state = None if known is None else shelf.state_body(job.run_id, known)
        job = msgspec.structs.replace(job, state=with_state, job_id=uuid.uuid4().hex)
        future = self._desk.offer(job)
        self._offered = job.job_id
        if stopped():
            self.interrupt()
        try:
            result = future.result()
        except BaseException as error:
            if future.cancelled():
                return None
            raise EngineError("The result of a message is lost.") from error
        finally:
            self._offered = ""
        for object_id in objects_of(result.body):
            shelf.keep(object_id)
        changed = result.state is not None
        return Outcome(
            decode_metadata(_decode(result.meta)),
            result.body,
            result.error,
            shelf.open_state(result.state) if result.state is not None else known,
            changed,
            result.seconds,
        )

    def interrupt(self) -> None:
        """Take the message back."""
        if self._offered:
            self._desk.withdraw(self._offered)

    def close(self) -> None:
        """Do nothing: hosts are processes of their own."""


class HostShelf:
    """Objects for hosts: those of messages and contexts go out, those of results come in.

    Parameters
    ----------
    spool, cache : Spool, ObjectCache
        The node's.
    incoming : Path
        A folder for what is coming in; emptied first.
    """

    def __init__(self, spool: Spool, cache: ObjectCache, incoming: Path) -> None:
        self._spool = spool
        self._cache = cache
        self._incoming = incoming
        self._lock = threading.Lock()
        self._awaited = 0  # messages whose results may bring something
        self._newest: dict[str, object] = {}  # of the uploads of an object; in the loop only
        incoming.mkdir(parents=True, exist_ok=True)
        self._clear()

    # -- for runs' threads

    @contextlib.contextmanager
    def receiving(self) -> Iterator[None]:
        """Take what comes in; with the last of those who do, what came for nobody goes.

        That is of hosts that died or were too late, and of messages that were stopped.
        """
        with self._lock:
            self._awaited += 1
        try:
            yield
        finally:
            with self._lock:
                self._awaited -= 1
                if not self._awaited:
                    self._clear()

    def _clear(self) -> None:
        for path in self._incoming.iterdir():
            path.unlink(missing_ok=True)

    def make_ready(self, body: Body) -> None:
        """Have all large parts of a message here."""
        for part in body.parts:
            if part.object_id:
                self._cache.path(part.object_id, part.nbytes)

    def state_body(self, run_id: int, state: StoredState) -> Body:
        """Return a state as it travels to a host."""
        frames = memoryview(state.frames.data)
        if frames.nbytes < INLINE_BYTES:
            return Body([Part(data=state.records), Part(data=bytes(frames))])
        object_id = hash_of(frames)
        body = Body([Part(data=state.records), Part(object_id=object_id, nbytes=frames.nbytes)])
        self._cache.use_also(run_id, object_id)
        self._cache.put(object_id, frames)
        return body

    def open_state(self, body: Body) -> StoredState | None:
        """Return a state that came from a host; ``None`` if it is empty."""
        if not body.parts:
            return None
        records, frames = body.parts
        if not frames.object_id:
            return StoredState(records.data, np.frombuffer(frames.data, np.uint8))
        # it may be part of the message or of the reply, too: then it came with that
        places = self._places(check_object_id(frames.object_id))
        path = next((path for path in places if path.exists()), None)
        if path is None:
            raise EngineError(f"The object {frames.object_id} of a state is lost.")
        content = np.fromfile(path, np.uint8)
        (self._incoming / frames.object_id).unlink(missing_ok=True)
        return StoredState(records.data, content)

    def keep(self, object_id: str) -> None:
        """Put a large part of a result into the spool.

        Raises
        ------
        EngineError
            If it has gone since the host was told that it is here.
        """
        path = self._incoming / check_object_id(object_id)
        if path.exists():
            self._spool.adopt_object(object_id, path)
            return
        try:  # part of the message, too, as frozen layers are
            content = np.memmap(self._cache.folder / object_id, np.uint8, "r")
        except FileNotFoundError as error:
            raise EngineError(f"The object {object_id} of a result is lost.") from error
        self._spool.put_object(object_id, content.data)

    # -- for the server

    async def offset(self, caller: Caller, object_id: str) -> int | None:
        """Return how much of an object is here; ``None`` for all of it."""
        del caller
        # not those in the spool: they go with the replies that they belong to
        if any((folder / object_id).exists() for folder in (self._cache.folder, self._incoming)):
            return None
        with contextlib.suppress(FileNotFoundError):
            return self._part(object_id).stat().st_size
        return 0

    async def receive(
        self, caller: Caller, object_id: str, offset: int, size: int, chunks: AsyncIterator[bytes]
    ) -> tuple[bool, int]:
        """Take an object, or some of it. A newer upload of the same object ends an older one."""
        mine = self._newest[object_id] = object()
        try:
            reached = await self._receive(object_id, offset, chunks, mine)
            if self._newest.get(object_id) is not mine:
                here = await self.offset(caller, object_id)
                return here is None, size if here is None else here
        finally:
            if self._newest.get(object_id) is mine:
                del self._newest[object_id]
        if reached < size:
            return False, reached
        part = self._part(object_id)
        try:
            digest = await asyncio.to_thread(lambda: blake3().update_mmap(part).hexdigest())
            if digest != object_id:
                part.unlink()
                raise RefusedError(Refusal.WRONG_HASH, f"What came is not the object {object_id}.")
            part.replace(self._incoming / object_id)
        except FileNotFoundError as error:
            raise RefusedError(
                Refusal.UNKNOWN_OBJECT, f"Nobody waits for the object {object_id} any more."
            ) from error
        return True, reached

    async def _receive(
        self, object_id: str, offset: int, chunks: AsyncIterator[bytes], mine: object
    ) -> int:
        """Write what comes, for as long as no newer upload does so; return how much is here."""
        part = self._part(object_id)
        there = part.stat().st_size if part.exists() else 0
        if offset > there:
            raise RefusedError(Refusal.BAD_REQUEST, f"{there} bytes of {object_id} are here.")
        with part.open("r+b" if there else "wb") as file:
            file.seek(offset)
            async for chunk in chunks:
                if self._newest.get(object_id) is not mine:
                    break
                await asyncio.to_thread(file.write, chunk)
            if self._newest.get(object_id) is mine:
                file.truncate()
            return file.tell()

    async def open(self, caller: Caller, object_id: str) -> tuple[int, int]:
        """Return a descriptor of an object, and its size."""
        del caller
        for path in self._places(object_id):
            with contextlib.suppress(FileNotFoundError):
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                return descriptor, os.fstat(descriptor).st_size
        raise RefusedError(Refusal.UNKNOWN_OBJECT, f"There is no object {object_id} here.")

    def _places(self, object_id: str) -> tuple[Path, ...]:
        folders = self._cache.folder, self._incoming, self._spool.objects
        return tuple(folder / object_id for folder in folders)

    def _part(self, object_id: str) -> Path:
        return self._incoming / f"{object_id}.part"
