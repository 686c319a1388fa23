"""One thread that writes, and commits in groups: while one group commits, the next gathers.

Two lanes share one queue, and keep its order. A *call* is waited for, and on disk when it returns.
An *item* is posted and forgotten by the poster: items wait a moment for company, are written
together, and survive the death of the process once written (not the loss of power).
"""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from logging import ERROR
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Engine

from flwr.errors import (
    NodeNotFoundError,
    ObjectNotFoundError,
    RunNotFoundError,
    RunStateError,
    StoreError,
    SupersededError,
)
from flwr.log import log
from flwr.store.database import DURABILITY
from flwr.store.faults import faults

T = TypeVar("T")
Item = TypeVar("Item")

GATHER_SECONDS = 0.2  # items wait so long for company
RETRY_SECONDS = 2.0  # and so long when they could not be written
GROUP_SIZE = 1_000

# Calls raise these before they have written anything: the rest of their group goes on
REFUSALS = (
    NodeNotFoundError,
    ObjectNotFoundError,
    RunNotFoundError,
    RunStateError,
    SupersededError,
)


class Writer(Generic[Item]):
    """Write to a database from one thread.

    Parameters
    ----------
    engine : Engine
        The database.
    write : callable
        Writes consecutive items in the transaction of a connection. It, and every call, may be
        run twice: a group that fails is rolled back, and its parts are tried one by one. A call
        that raises one of `REFUSALS` must do so before it writes.
    name : str
        What to call the database in messages.
    """

    def __init__(
        self, engine: Engine, write: Callable[[Connection, Sequence[Item]], None], *, name: str
    ) -> None:
        self._engine = engine
        self._write = write
        self._name = name
        self._changed = threading.Condition()
        self._queue: deque[_Call | Item] = deque()  # with the fields below, under _changed
        self._calls = 0  # in the queue
        self._idle = False  # the thread waits for the first entry
        self._closing = False
        self._failure: Exception | None = None  # why the items at the head are still there
        self._connection: Connection | None = None  # of the thread
        self._thread = threading.Thread(target=self._run, name="flwr-store-writer", daemon=True)
        self._thread.start()

    def call(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction, and return its result once that is on disk."""
        future: Future[T] = Future()
        self._put(_Call(work, future))
        return future.result()

    def submit(
        self, work: Callable[[Connection], T], after: Callable[[T], None] | None = None
    ) -> "asyncio.Future[T]":
        """Do the same for an event loop, which is woken once for a whole group.

        Parameters
        ----------
        work : callable
            What to run in a transaction.
        after : callable, optional
            Called with the result in the writer's thread, when that is on disk and before
            anything else is written.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._put(_Call(work, future, after))
        return future

    def post(self, item: Item) -> None:
        """Have an item written soon. It must not change afterwards."""
        self._put(item)

    def flush(self) -> None:
        """Return when everything posted so far is written.

        Raises
        ------
        StoreError
            If it cannot be written. It is kept, and tried again.
        """
        self.call(lambda _: None)
        if self._failure is not None:
            raise StoreError(str(self._failure)) from self._failure

    def close(self) -> None:
        """Write what is left and end the thread.

        Raises
        ------
        StoreError
            If something could not be written; it is lost.
        """
        with self._changed:
            if self._closing:
                return
            self._closing = True
            self._changed.notify()
        self._thread.join()
        if self._queue:
            raise StoreError(
                f"{len(self._queue)} events were not recorded: {self._failure}"
            ) from self._failure

    def require_open(self) -> None:
        """Raise a ``StoreError`` if this was closed."""
        if self._closing:
            raise StoreError(f"{self._name} is closed.")

    def _put(self, entry: "_Call | Item") -> None:
        with self._changed:
            self.require_open()
            self._queue.append(entry)
            is_call = isinstance(entry, _Call)
            self._calls += is_call
            if self._idle or is_call:
                self._changed.notify()

    def _run(self) -> None:
        while group := self._next_group():
            was_failing = self._failure is not None
            self._write_group(group)
            if self._closing and was_failing and self._failure is not None:
                break
        self._disconnect()

    def _next_group(self) -> "list[_Call | Item]":
        with self._changed:
            self._idle = True
            self._changed.wait_for(lambda: self._queue or self._closing)
            self._idle = False
            failing = self._failure is not None
            self._changed.wait_for(
                lambda: (
                    self._calls or self._closing or (not failing and len(self._queue) >= GROUP_SIZE)
                ),
                timeout=RETRY_SECONDS if failing else GATHER_SECONDS,
            )
            # all, while failing: no call must wait behind items that cannot be written
            size = len(self._queue) if failing else min(GROUP_SIZE, len(self._queue))
            group = [self._queue.popleft() for _ in range(size)]
            self._calls -= sum(isinstance(entry, _Call) for entry in group)
            return group

    def _write_group(self, group: "list[_Call | Item]") -> None:
        parts = _parts(group)
        error = self._commit(parts)
        if error is None:
            return
        unwritten: list[Item] = []
        for part in parts:
            if unwritten and not isinstance(part, _Call):
                unwritten += part  # in their order or not at all
                continue
            if len(parts) > 1:  # the guilty one fails alone
                error = self._commit([part])
            if error is None:
                continue
            if isinstance(part, _Call):
                _deliver([(part, error, None)])
            else:
                unwritten += part
                self._report(error)
        with self._changed:
            self._queue.extendleft(reversed(unwritten))

    def _commit(self, parts: "list[_Call | list[Item]]") -> Exception | None:
        """Write parts in one transaction; return why it failed, if it did."""
        posted_only = not any(isinstance(part, _Call) for part in parts)
        durability = "normal" if posted_only else "full"
        done: list[_Outcome] = []
        try:
            with faults(self._name), self._transaction(durability) as connection:
                for part in parts:
                    if isinstance(part, _Call):
                        done.append(_outcome(part, connection))
                    else:
                        self._write(connection, part)
        except Exception as error:  # whatever it is, someone is told
            return error
        if len(done) < len(parts):
            self._failure = None
        for call, refusal, result in done:
            if call.after is not None and refusal is None:
                self._follow_up(call.after, result)
        _deliver(done)
        return None

    @contextlib.contextmanager
    def _transaction(self, durability: str) -> Iterator[Connection]:
        """Begin on the connection that is kept for this thread; after an error it is a new one."""
        if self._connection is None:
            self._connection = self._engine.connect()
        connection = self._connection.execution_options(**{DURABILITY: durability})
        try:
            with connection.begin():
                yield connection
        except BaseException:
            self._disconnect()
            raise

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _follow_up(self, after: Callable[[Any], None], result: Any) -> None:
        try:
            after(result)
        except Exception as error:  # what was committed stays true
            log(ERROR, "After a change of %s: %s", self._name, error)

    def _report(self, error: Exception) -> None:
        if self._failure is None:
            log(ERROR, "%s\nWhat the run tells is kept in memory and tried again.", error)
        self._failure = error


@dataclass(frozen=True, slots=True)
class _Call:
    work: Callable[[Connection], Any]
    future: "Future[Any] | asyncio.Future[Any]"
    after: Callable[[Any], None] | None = None


_Outcome = tuple[_Call, Exception | None, Any]  # a call, why it failed if it did, its result


def _outcome(call: _Call, connection: Connection) -> _Outcome:
    try:
        return call, None, call.work(connection)
    except REFUSALS as error:
        return call, error, None


def _deliver(outcomes: Sequence[_Outcome]) -> None:
    """Give results to those who wait: threads one by one, each event loop all at once."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Outcome]] = {}
    for outcome in outcomes:
        future = outcome[0].future
        if isinstance(future, Future):
            _resolve([outcome])
        else:
            by_loop.setdefault(future.get_loop(), []).append(outcome)
    for loop, mine in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_resolve, mine)


def _resolve(outcomes: Sequence[_Outcome]) -> None:
    for call, error, result in outcomes:
        if call.future.done():  # whoever asked was cancelled
            continue
        if error is not None:
            call.future.set_exception(error)
        else:
            call.future.set_result(result)


def _parts(group: "list[_Call | Item]") -> "list[_Call | list[Item]]":
    """Return the calls of a group, and between them its consecutive items as lists."""
    parts: list[_Call | list[Item]] = []
    for entry in group:
        if isinstance(entry, _Call):
            parts.append(entry)
        elif parts and isinstance(parts[-1], list):
            parts[-1].append(entry)
        else:
            parts.append([entry])
    return parts
