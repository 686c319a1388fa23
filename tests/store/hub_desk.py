"""A hub's store to test: an event loop, and short words for what tests do often."""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Coroutine, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from blake3 import blake3

from flwr.store import NewRun, new_run_id
from flwr.store.hub import HubStore
from flwr.store.hubrecords import (
    Answered,
    AnswerRow,
    Enqueued,
    Leased,
    NewBody,
    NewCheckpoint,
    NewMessage,
    NewReply,
    NodeRow,
    Principal,
)

T = TypeVar("T")
NOTHING = NewBody.of(b"nothing")


class Desk:
    """A store and the loop that it is used from."""

    def __init__(self, path: Path | None, *, reserve: int = 0) -> None:
        self.path = path
        self._reserve = reserve
        self._runner = asyncio.Runner()
        self.store = HubStore.open(path, reserve=reserve)
        self.now = 1_000.0

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def all(self, *works: Coroutine[Any, Any, T]) -> list[T]:
        async def together() -> list[T]:
            return await asyncio.gather(*works)

        return self.do(together())

    def reopen(self) -> None:
        self.store.close()
        self.store = HubStore.open(self.path, reserve=self._reserve)

    def close(self) -> None:
        self.store.close()
        self._runner.close()
        if self.path is not None:
            check_sound(self.path)

    # --- what is there -------------------------------------------------------------------------

    def run(self, **changes: Any) -> int:
        """Return a new run that is running, in its first attempt."""
        run = new_run(**changes)
        self.do(self.store.create_run(run, "serverapp", b"a fab", self.now))
        attempt, _ = self.do(self.store.launch(run.run_id, self.now))
        self.do(self.store.begin_running(run.run_id, attempt, self.now))
        return run.run_id

    def node(self, name: str = "a", instance: str = "one") -> NodeRow:
        return self.do(self.store.hello(f"secret of {name}", instance, name, {}, self.now))

    # --- messages ------------------------------------------------------------------------------

    def put(
        self,
        run_id: int,
        node_id: int,
        *ids: str,
        body: NewBody = NOTHING,
        attempt: int = 1,
        parked: Mapping[int, int] | None = None,
        ttl: float = 3600.0,
    ) -> Enqueued:
        messages = [
            NewMessage(message_id=id_, node_id=node_id, message_type="train", body=0, ttl=ttl)
            for id_ in ids
        ]
        return self.do(
            self.store.enqueue(run_id, attempt, messages, [body], parked or {}, self.now)
        )

    def lease(self, node: NodeRow, *holding: str, limit: int = 100) -> Leased:
        return self.do(self.store.lease(node.node_id, node.epoch, holding, limit, self.now))

    def leased(self, node: NodeRow, *holding: str, limit: int = 100) -> list[str]:
        return [row.message_id for row in self.lease(node, *holding, limit=limit).rows]

    def answer(
        self, node_id: int, run_id: int, *ids: str, body: NewBody | None = NOTHING
    ) -> Answered:
        replies = [NewReply(message_id=id_, run_id=run_id, body=body) for id_ in ids]
        return self.do(self.store.answer(node_id, replies, self.now))

    def collect(self, run_id: int, after: int = 0, limit: int = 1000) -> list[AnswerRow]:
        return self.do(self.store.collect(run_id, after, limit)).rows

    def answers(self, run_id: int) -> list[str]:
        return [row.message_id for row in self.collect(run_id)]

    def checkpoint(
        self,
        run_id: int,
        step: int,
        release: Iterable[str] = (),
        *,
        scope: int = 1,
        state: NewBody = NOTHING,
        context: NewBody = NOTHING,
        attempt: int = 1,
    ) -> tuple[int, ...]:
        new = NewCheckpoint(
            scope=scope, step=step, state=state, context=context, release=tuple(release)
        )
        return self.do(self.store.checkpoint(run_id, attempt, new, self.now))

    # --- objects -------------------------------------------------------------------------------

    def upload(self, who: Principal, data: bytes) -> str:
        """Upload an object whole; return its id."""
        object_id = blake3(data).hexdigest()
        upload = self.do(self.store.begin_upload(who, object_id, len(data)))
        upload.write(memoryview(data)[upload.offset :])
        self.do(self.store.admit(upload, who, self.now))
        return object_id

    def content(self, who: Principal, data: bytes) -> NewBody:
        """Upload an object and return a content that refers to it."""
        object_id = self.upload(who, data)
        return NewBody.of(b"head of " + object_id.encode(), [(object_id, len(data))])

    def reads(self, who: Principal, object_id: str) -> bool:
        return self.do(self.store.object_offset(who, object_id, self.now)) is None


def new_run(**changes: Any) -> NewRun:
    given: dict[str, Any] = {
        "run_id": new_run_id(),
        "fab_id": "acme/quickapp",
        "fab_version": "1.0.0",
        "fab_hash": "ab" * 32,
        "federation": "remote",
        "app_dir": "",
        "run_config": {"num-server-rounds": 3},
        "options": {},
    }
    return NewRun(**(given | changes))


def check_sound(path: Path) -> None:
    """Check what must hold of every database and its objects, whatever happened to them."""
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert not connection.execute("PRAGMA foreign_key_check").fetchall()
        used: Counter[str] = Counter()
        for query in (
            "SELECT body_id FROM messages",
            "SELECT body_id FROM replies WHERE body_id IS NOT NULL",
            "SELECT state_id FROM checkpoints WHERE state_id IS NOT NULL",
            "SELECT context_id FROM checkpoints",
        ):
            used.update(row[0] for row in connection.execute(query))
        counted = dict(connection.execute("SELECT body_id, uses FROM bodies"))
        assert counted == dict(used)
        refs = connection.execute("SELECT body_id, object_id FROM body_objects").fetchall()
        assert {body_id for body_id, _ in refs} <= counted.keys()
        objects = {row[0] for row in connection.execute("SELECT object_id FROM objects")}
        assert {object_id for _, object_id in refs} <= objects
        held = {row[0] for row in connection.execute("SELECT object_id FROM grants WHERE held = 1")}
        assert objects == {object_id for _, object_id in refs} | held
        answered = connection.execute(
            "SELECT run_id, reply_seq, message_id FROM messages WHERE state >= 2 ORDER BY 1, 2"
        ).fetchall()
        replies = connection.execute(
            "SELECT run_id, seq, message_id FROM replies ORDER BY 1, 2"
        ).fetchall()
        assert answered == replies
    finally:
        connection.close()
    folder = path.with_name(f"{path.name}.blobs")
    assert {entry.name for entry in folder.iterdir() if entry.is_file()} - {".lock"} == objects
    for object_id in objects:
        assert blake3((folder / object_id).read_bytes()).hexdigest() == object_id
