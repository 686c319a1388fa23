"""One thread that writes, and commits in groups: while one group commits, the next gathers.

Two lanes share one queue, and keep its order. A *call* is waited for, and on disk when it returns.
An *item* is posted and forgotten by the poster: items wait a moment for company, are written
together, and survive the death of the process once written (not the loss of power).
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from logging import ERROR
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import Connection, Engine

from flwr.errors import StoreError
from flwr.log import log
from flwr.store.database import DURABILITY
from flwr.store.faults import faults

T = TypeVar("T")
Item = TypeVar("Item")

GATHER_SECONDS = 0.2  # items wait so long for company
RETRY_SECONDS = 2.0  # and so long when they could not be written
GROUP_SIZE = 1_000


class Writer(Generic[Item]):
    """Write to a database from one thread.

    Parameters
    ----------
    engine : Engine
        The database.
    write : callable
        Writes consecutive items in the transaction of a connection. It, and every call, may be
        run twice: a group that fails is rolled back, and its parts are tried one by one.
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
        self._thread = threading.Thread(target=self._run, name="flwr-store-writer", daemon=True)
        self._thread.start()

    def call(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction, and return its result once that is on disk."""
        call = _Call(work, Future())
        self._put(call)
        return cast("T", call.future.result())

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
                part.future.set_exception(error)
            else:
                unwritten += part
                self._report(error)
        with self._changed:
            self._queue.extendleft(reversed(unwritten))

    def _commit(self, parts: "list[_Call | list[Item]]") -> Exception | None:
        """Write parts in one transaction; return why it failed, if it did."""
        posted_only = not any(isinstance(part, _Call) for part in parts)
        options = {DURABILITY: "normal" if posted_only else "full"}
        results: list[Any] = []
        try:
            with (
                faults(self._name),
                self._engine.execution_options(**options).begin() as connection,
            ):
                for part in parts:
                    if isinstance(part, _Call):
                        results.append(part.work(connection))
                    else:
                        results.append(self._write(connection, part))
        except Exception as error:  # whatever it is, someone is told
            return error
        for part, result in zip(parts, results, strict=True):
            if isinstance(part, _Call):
                part.future.set_result(result)
            else:
                self._failure = None
        return None

    def _report(self, error: Exception) -> None:
        if self._failure is None:
            log(ERROR, "%s\nWhat the run tells is kept in memory and tried again.", error)
        self._failure = error


@dataclass(frozen=True, slots=True)
class _Call:
    work: Callable[[Connection], Any]
    future: Future[Any]


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
