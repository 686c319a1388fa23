"""The hub's store: nodes, messages and their replies, objects, checkpoints, app processes.

Semantic calls for one event loop. What a call acknowledges is on disk when it returns; many calls
share one commit. The statements are in ``nodes``, ``mailbox``, ``contents`` and ``apps``.
"""

import asyncio
import contextlib
import secrets
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Self, TypeVar

from sqlalchemy import Connection

from flwr.clock import unix_now
from flwr.errors import ObjectNotFoundError, RunStateError, StoreError
from flwr.store import apps, contents, mailbox, nodes, runs
from flwr.store.blobs import RESERVE_BYTES, BlobDir, Upload
from flwr.store.compiled import driver_of
from flwr.store.faults import faults, folder_fault
from flwr.store.folderlock import FolderLock, temporary_folder
from flwr.store.hubrecords import (
    Answered,
    AppRow,
    CheckpointRow,
    Collected,
    Enqueued,
    EventRow,
    HostedRow,
    Leased,
    LogRow,
    NewBody,
    NewCheckpoint,
    NewMessage,
    NewReply,
    NodeRow,
    OpenRow,
    Principal,
)
from flwr.store.lifecycle import RunEvent
from flwr.store.records import NewRun, Run
from flwr.store.store import Store

T = TypeVar("T")

ORPHAN_SECONDS = 3600.0  # an upload that nothing refers to is kept so long


def token_hash(token: str) -> str:
    """Return what the store keeps of a secret."""
    return sha256(token.encode()).hexdigest()


def _folder_beside(path: Path) -> Path:
    folder = path.with_name(f"{path.name}.blobs")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise folder_fault(error, folder) from error
    return folder


class HubStore:
    """What a hub keeps. Made by :meth:`open`; for one event loop.

    All calls raise a :class:`~flwr.errors.StoreError` if the database cannot be used, a
    ``DiskFullError`` if there is no room; nothing that was acknowledged is lost then, and the next
    call may succeed.

    Attributes
    ----------
    runs : Store
        Runs and their events, in the same database.
    blobs : BlobDir
        The bytes of objects.
    """

    def __init__(self, store: Store, blobs: BlobDir, lock: FolderLock, *, temporary: bool) -> None:
        self.runs = store
        self.blobs = blobs
        self._lock = lock
        self._temporary = temporary
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="flwr-store-reader")
        self._tidying = ThreadPoolExecutor(1, thread_name_prefix="flwr-store-tidy")

    @classmethod
    def open(
        cls,
        path: Path | None,
        *,
        fresh: bool = False,
        patience: float = 30.0,
        reserve: int = RESERVE_BYTES,
    ) -> Self:
        """Open a hub's database and the folder ``<name>.blobs`` beside it; create or migrate them.

        Parameters
        ----------
        path : Path or None
            The SQLite file. None keeps rows in memory, and objects in a folder of the system's
            for temporary files that goes with :meth:`close`.
        fresh, patience
            As for :meth:`Store.open <flwr.store.Store.open>`.
        reserve : int
            Bytes that uploads leave free on the disk.

        Raises
        ------
        DatabaseNewerError
            If a newer version wrote it.
        StoreError
            If it cannot be used, or another hub uses it.
        """
        folder = temporary_folder() if path is None else _folder_beside(path)
        # before anything else: opening may migrate what another hub of an older version uses
        lock = FolderLock(folder, f"{path} is in use by another SuperLink.")
        try:
            blobs = BlobDir(folder, reserve=reserve)
            store = Store.open(path, fresh=fresh, patience=patience)
        except BaseException:
            lock.release()
            raise
        hub = cls(store, blobs, lock, temporary=path is None)
        try:
            hub._tidy_at_start()
        except BaseException:
            hub.close()
            raise
        return hub

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write what is left, and close the database."""
        self._readers.shutdown()
        self._tidying.shutdown()
        try:
            self.runs.close()
        finally:
            self._lock.release()
            if self._temporary:
                shutil.rmtree(self.blobs.path, ignore_errors=True)

    # --- nodes ---------------------------------------------------------------------------------

    async def hello(
        self,
        secret_hash: str,
        instance: str,
        name: str,
        node_config: Mapping[str, Any],
        now: float,
    ) -> NodeRow:
        """Introduce a node's process: a new one gets the next epoch, a known one keeps its own."""
        return await self._write(
            lambda c: nodes.hello(c, secret_hash, instance, name, dict(node_config), now)
        )

    async def node_of(self, secret_hash: str) -> NodeRow | None:
        """Return the node with a secret."""
        return await self._read(lambda c: nodes.select_by_secret(c, secret_hash))

    async def nodes(self) -> list[NodeRow]:
        """Return all nodes, by id."""
        return await self._read(nodes.select_all)

    async def forget_node(self, node_id: int) -> None:
        """Delete a node that is offline, and what it may read.

        Raises
        ------
        NodeNotFoundError
            If there is no such node.
        """
        await self._write_then_tidy(lambda c: contents.forget_node(c, node_id))

    async def set_online(self, node_ids: Collection[int], at: float) -> None:
        """Note that nodes are there."""
        ids = tuple(node_ids)
        await self._write(lambda c: nodes.set_online(c, ids, at))

    async def set_offline(self, node_ids: Collection[int], at: float) -> None:
        """Note that nodes are gone."""
        ids = tuple(node_ids)
        await self._write(lambda c: nodes.set_offline(c, ids, at))

    # --- messages ------------------------------------------------------------------------------

    async def enqueue(
        self,
        run_id: int,
        attempt: int,
        messages: Sequence[NewMessage],
        bodies: Sequence[NewBody],
        parked: Mapping[int, int],
        now: float,
    ) -> Enqueued:
        """Take messages of a run to nodes; each id once.

        Parameters
        ----------
        parked : mapping of int to int
            The epochs of nodes that wait: their messages are leased to them in the same commit.
            It is read when the commit is made, in another thread.

        Raises
        ------
        SupersededError
            If `attempt` is not the run's newest.
        RunStateError
            If the run has ended.
        ObjectNotFoundError
            If a body refers to an object that is not here, or that the run may not know of.
        StoreError
            If a message names a body that is not among the bodies.
        """
        if any(not 0 <= message.body < len(bodies) for message in messages):
            raise StoreError("A message names a body that does not come with it.")
        return await self._write(
            lambda c: mailbox.enqueue(c, run_id, attempt, messages, bodies, parked, now)
        )

    async def lease(
        self, node_id: int, epoch: int, holding: Collection[str], limit: int, now: float
    ) -> Leased:
        """Hand out what is open for a node and not among what it holds, which it keeps.

        Raises
        ------
        SupersededError
            If `epoch` is that of an older process.
        NodeNotFoundError
            If there is no such node.
        """
        held = tuple(holding)
        return await self._write(lambda c: mailbox.lease(c, node_id, epoch, held, limit, now))

    async def answer(self, node_id: int, replies: Sequence[NewReply], now: float) -> Answered:
        """Take replies of a node: each message has one, in time, from its own node."""
        return await self._write_then_tidy(lambda c: mailbox.answer(c, node_id, replies, now))

    async def fail_node(self, node_id: int, code: int, reason: str, now: float) -> dict[int, int]:
        """Answer all open messages to a node with an error."""
        return await self._write(lambda c: mailbox.fail_node(c, node_id, code, reason, now))

    async def fail_expired(self, now: float, code: int, reason: str) -> dict[int, int]:
        """Answer all open messages whose time is up with an error."""
        return await self._write(lambda c: mailbox.fail_expired(c, code, reason, now))

    async def open_messages(
        self, *, run_id: int | None = None, node_id: int | None = None
    ) -> list[OpenRow]:
        """Return the messages of a run, or to a node, that have not been answered."""
        return await self._read(lambda c: mailbox.select_open(c, run_id=run_id, node_id=node_id))

    async def next_expiry(self) -> float | None:
        """Return when the next open message expires."""
        return await self._read(mailbox.next_expiry)

    async def collect(self, run_id: int, after: int, limit: int) -> Collected:
        """Return replies behind a number, in order: at most `limit`, and not many large ones."""
        return await self._read(lambda c: mailbox.collect(c, run_id, after, limit))

    # --- checkpoints ---------------------------------------------------------------------------

    async def checkpoint(
        self, run_id: int, attempt: int, checkpoint: NewCheckpoint, now: float
    ) -> tuple[int, ...]:
        """Commit a checkpoint, and delete the messages that it releases, with their replies.

        Returns
        -------
        tuple of int
            Nodes that may still work on a released message.

        Raises
        ------
        SupersededError, RunStateError, ObjectNotFoundError
            As for :meth:`enqueue`.
        """
        return await self._write_then_tidy(
            lambda c: apps.checkpoint(c, run_id, attempt, checkpoint, now)
        )

    async def restore(self, run_id: int, scope: int) -> CheckpointRow | None:
        """Return the newest checkpoint of a scope."""
        return await self._read(lambda c: apps.restore(c, run_id, scope))

    # --- runs and their app processes ----------------------------------------------------------

    async def create_run(self, new: NewRun, kind: str, fab: bytes, now: float) -> Run:
        """Add a run and its app (``new.fab_hash`` names it). The same again changes nothing.

        Raises
        ------
        StoreError
            If there is another run with that id.
        """
        return await self._write(lambda c: apps.create_run(c, new, kind, fab, now))

    async def fab(self, fab_hash: str) -> bytes | None:
        """Return an app by the SHA-256 of its bundle."""
        return await self._read(lambda c: apps.select_fab(c, fab_hash))

    async def run(self, run_id: int) -> Run:
        """Return a run."""
        return await self._read(lambda c: runs.select_run(c, run_id))

    async def list_runs(self, limit: int | None = None, *, live: bool = False) -> list[Run]:
        """Return the newest runs, the newest first."""
        return await self._read(lambda c: runs.select_runs(c, limit, live=live))

    async def hosted(self, run_ids: Collection[int]) -> dict[int, HostedRow]:
        """Return what the hub knows of runs beside that."""
        ids = tuple(run_ids)
        return await self._read(lambda c: apps.select_hosted(c, ids))

    async def launch(self, run_id: int, now: float) -> tuple[int, str]:
        """Begin the next attempt of a live run, which is ``starting`` if it was ``pending``.

        Returns
        -------
        attempt : int
            1, 2, …: older ones are fenced off from now on.
        token : str
            For its process. Only its hash is kept.
        """
        token = secrets.token_urlsafe(32)
        hashed = token_hash(token)
        return await self._write(lambda c: apps.launch(c, run_id, hashed, now)), token

    async def record_process(
        self, run_id: int, attempt: int, pid: int, process_created: float
    ) -> None:
        """Note which process an attempt is: a number, and when the system says it began."""
        await self._write(lambda c: apps.record_process(c, run_id, attempt, pid, process_created))

    async def app_of(self, hashed_token: str) -> AppRow | None:
        """Return whose a token is."""
        return await self._read(lambda c: apps.select_app(c, hashed_token))

    async def begin_running(self, run_id: int, attempt: int, now: float) -> Run:
        """Move a run that is ``starting`` to ``running``; one that is running stays so.

        Raises
        ------
        SupersededError, RunStateError
            As for :meth:`enqueue`.
        """
        return await self._write(lambda c: apps.begin_running(c, run_id, attempt, now))

    async def report(
        self,
        run_id: int,
        attempt: int,
        seq: int,
        events: Sequence[tuple[float, str, bytes]],
        text: str,
        now: float,
    ) -> bool:
        """Add events (moment, kind, body) and text to a run; False if this report is known.

        Raises
        ------
        StoreError
            If an event cannot be read.
        """
        told = runs.understood(events)
        return await self._write(lambda c: apps.report(c, run_id, attempt, seq, told, text, now))

    async def add_log(self, run_id: int, text: str, now: float) -> None:
        """Add text of the hub's own to a run's log."""
        await self._write(lambda c: apps.add_log(c, run_id, text, now))

    async def log(self, run_id: int, after: int, limit: int) -> list[LogRow]:
        """Return printed text behind a number: at most `limit` pieces, and not more than fit."""
        return await self._read(lambda c: apps.select_log(c, run_id, after, limit))

    async def events(self, run_id: int, after: int, limit: int) -> list[EventRow]:
        """Return events behind a number, as they are kept."""
        return await self._read(lambda c: apps.select_events(c, run_id, after, limit))

    async def end_run(
        self,
        run_id: int,
        event: RunEvent,
        details: str,
        exit_code: int,
        now: float,
        *,
        attempt: int | None = None,
        context: NewBody | None = None,
    ) -> Run:
        """End a run, and delete what it carried: messages, replies, checkpoints, objects.

        Parameters
        ----------
        attempt : int, optional
            Who asks, if an app process does. Its asking again changes nothing.
        context : NewBody, optional
            The context of ``main`` at its end. By default that of its newest checkpoint. It stays
            readable by :meth:`restore` of scope 0 unless it refers to objects, which go.

        Raises
        ------
        RunStateError
            If that cannot happen to the run: it has ended.
        SupersededError
            If `attempt` is not the newest.
        """
        run = await self._write_then_tidy(
            lambda c: apps.end_run(c, run_id, event, details, exit_code, now, attempt, context)
        )
        uploaders = await self._in_background(self.blobs.uploaders)
        for idle in await self._read(lambda c: contents.idle(driver_of(c), uploaders)):
            await self._in_background(partial(self.blobs.drop_partials, idle))
        return run

    # --- objects -------------------------------------------------------------------------------

    async def object_offset(self, who: Principal, object_id: str, now: float) -> int | None:
        """Return None if an object is here and `who` may know of it, else how much of it is here.

        None also keeps the object for an hour, for a content that refers to it.
        """
        held = await self._write(lambda c: contents.hold_again(c, who, object_id, now))
        if held and await asyncio.to_thread(self.blobs.has, object_id):
            return None
        return await asyncio.to_thread(self.blobs.partial_size, object_id, str(who))

    async def begin_upload(self, who: Principal, object_id: str, size: int) -> Upload:
        """Begin an upload, or go on with it from its `offset`. Write to it in threads, close it.

        Raises
        ------
        DiskFullError
            If it does not fit.
        RunStateError
            If `who` is a node that has nothing to answer, so that nothing would refer to it.
        """
        if who.kind == "node" and not await self._read(
            lambda c: contents.may_upload(driver_of(c), who)
        ):
            raise RunStateError(f"Node {who.id} has no message to answer with an object.")
        return await asyncio.to_thread(self.blobs.begin, object_id, str(who), size)

    async def admit(self, upload: Upload, who: Principal, now: float) -> None:
        """Check a complete upload and make it an object, which `who` may read and refer to.

        Raises
        ------
        WrongHashError
            If the bytes are not those that the id names; they are removed.
        """
        await asyncio.to_thread(upload.verify)
        await asyncio.to_thread(self.blobs.place, upload)
        try:
            kept = await self._write(
                lambda c: contents.add_object(c, upload.object_id, upload.size, who, now)
            )
        finally:
            self.blobs.settled(upload.object_id)
        if not kept:  # what it was for has ended meanwhile
            unused = (upload.object_id,)
            await self._write_then_tidy(
                lambda c: (None, contents.drop_bodies(driver_of(c), (), unused))
            )

    async def open_object(self, who: Principal, object_id: str) -> tuple[int, int]:
        """Return a file descriptor, which the caller closes, and the size in bytes.

        Raises
        ------
        ObjectNotFoundError
            If there is none, or none that `who` may know of.
        """
        if not await self._may_read(who, object_id):
            raise ObjectNotFoundError(f"There is no object {object_id}.")
        return await asyncio.to_thread(self.blobs.open, object_id)

    async def sweep(self, now: float) -> None:
        """Remove uploads that nothing refers to and that are older than an hour; call it hourly."""
        await self._write_then_tidy(lambda c: (None, contents.sweep(c, now - ORPHAN_SECONDS)))
        await self._in_background(lambda: self.blobs.drop_partials(older_than=now - ORPHAN_SECONDS))

    async def _may_read(self, who: Principal, object_id: str) -> bool:
        return await self._read(lambda c: contents.may_read(driver_of(c), who, object_id))

    # --- how -----------------------------------------------------------------------------------

    def _tidy_at_start(self) -> None:
        now = unix_now()

        def orphans(connection: Connection) -> set[str]:
            contents.sweep(connection, now - ORPHAN_SECONDS)
            return contents.object_ids(connection)

        self.blobs.sweep(self.runs.writer.call(orphans), now - ORPHAN_SECONDS)

    async def _write(self, work: Callable[[Connection], T]) -> T:
        return await self.runs.writer.submit(work)

    async def _write_then_tidy(self, work: Callable[[Connection], tuple[T, list[str]]]) -> T:
        """Write, and take away the objects that `work` says are gone before the next write."""
        result, gone = await self.runs.writer.submit(
            work, after=lambda done: self.blobs.remove(done[1])
        )
        if gone:
            with contextlib.suppress(RuntimeError):  # closed meanwhile: the next start does it
                self._tidying.submit(self.blobs.empty_gone)
        return result

    async def _read(self, work: Callable[[Connection], T]) -> T:
        if self.runs.in_memory:  # there is one connection, and the writer's thread uses it
            return await self._write(work)
        self.runs.writer.require_open()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self._read_here, work)

    def _read_here(self, work: Callable[[Connection], T]) -> T:
        with faults(self.runs.name), self.runs.engine.connect() as connection:
            return work(connection)

    async def _in_background(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._tidying, work)
