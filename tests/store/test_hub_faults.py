"""A hub's store when the disk is full, when nothing can be written, and when it is killed."""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from hub_desk import Desk, check_sound
from sample_runs import Script
from sqlalchemy import Connection

from flwr.errors import DiskFullError, ObjectNotFoundError, StoreError
from flwr.store import Store
from flwr.store.compiled import driver_of
from flwr.store.hub import HubStore
from flwr.store.hubrecords import NewBody, NewMessage, Principal


def pragma(desk: Desk, text: str) -> int:
    """Set something of the writer's connection, or return it."""

    def work(connection: Connection) -> Any:
        return driver_of(connection).execute(f"PRAGMA {text}").fetchone()

    (value,) = desk.store.runs.writer.call(work) or (0,)
    return int(value)


def test_a_full_disk_loses_nothing_that_was_acknowledged_and_the_hub_goes_on(desk: Desk) -> None:
    run_id, node = desk.run(), desk.node()
    acknowledged: list[str] = []
    pragma(desk, f"max_page_count={pragma(desk, 'page_count') + 200}")

    async def put(number: int) -> None:
        message = NewMessage(
            message_id=f"m{number}", node_id=node.node_id, message_type="train", body=0
        )
        body = NewBody.of(number.to_bytes(2, "big") * 20_000)
        await desk.store.enqueue(run_id, 1, [message], [body], {}, desk.now)
        acknowledged.append(message.message_id)

    async def fill() -> None:
        for number in range(100):
            await put(number)

    with pytest.raises(DiskFullError, match="Make room"):
        desk.do(fill())
    assert 5 < len(acknowledged) < 100
    assert desk.leased(node) == acknowledged  # reading works
    pragma(desk, "max_page_count=1000000")
    desk.do(put(99))
    assert desk.leased(node) == acknowledged


def test_those_that_fit_are_taken_when_the_disk_is_nearly_full(desk: Desk) -> None:
    run_id, node = desk.run(), desk.node()
    pragma(desk, f"max_page_count={pragma(desk, 'page_count') + 40}")

    async def put(number: int, size: int) -> bool:
        message = NewMessage(
            message_id=f"m{number}", node_id=node.node_id, message_type="train", body=0
        )
        body = NewBody.of(bytes([number]) * size)
        try:
            await desk.store.enqueue(run_id, 1, [message], [body], {}, desk.now)
        except DiskFullError:
            return False
        return True

    sizes = [100, 1_000_000, 100, 1_000_000, 100]
    taken = desk.all(*(put(number, size) for number, size in enumerate(sizes)))
    assert taken == [size == 100 for size in sizes]
    assert desk.leased(node) == ["m0", "m2", "m4"]


def test_a_database_that_cannot_be_written_says_so_and_is_read(kept: Desk) -> None:
    run_id, node = kept.run(), kept.node()
    kept.put(run_id, node.node_id, "m1")
    kept.answer(node.node_id, run_id, "m1")
    pragma(kept, "query_only=ON")
    with pytest.raises(StoreError, match="cannot be written"):
        kept.put(run_id, node.node_id, "m2")
    assert kept.answers(run_id) == ["m1"]


def test_two_hubs_do_not_share_a_database(kept: Desk) -> None:
    assert kept.path is not None
    with pytest.raises(StoreError, match=r"state\.db is in use by another SuperLink"):
        HubStore.open(kept.path)
    kept.run()
    kept.reopen()


def test_an_object_whose_file_was_taken_away_can_be_uploaded_again(kept: Desk) -> None:
    run_id, node = kept.run(), kept.node()
    run = Principal("run", run_id)
    body = kept.content(run, b"model")
    kept.put(run_id, node.node_id, "m1", body=body)
    object_id = body.objects[0].object_id
    (kept.store.blobs.path / object_id).unlink()
    kept.reopen()
    with pytest.raises(ObjectNotFoundError, match=object_id):
        kept.do(kept.store.open_object(run, object_id))
    assert kept.do(kept.store.object_offset(run, object_id, kept.now)) == 0
    assert kept.upload(run, b"model") == object_id
    assert kept.reads(Principal("node", node.node_id), object_id)


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = HubStore.open(tmp_path / "state.db")
    store.close()
    store.close()
    asyncio.run(_raises_closed(store.nodes()))
    asyncio.run(_raises_closed(store.set_online([1], 1.0)))


async def _raises_closed(work: Coroutine[Any, Any, object]) -> None:
    with pytest.raises(StoreError, match="is closed"):
        await work


# --- killed ------------------------------------------------------------------------------------

NODES, MESSAGES = 3, 4

LIFE = """
import asyncio, sys
from pathlib import Path
from blake3 import blake3
from hub_desk import new_run
from flwr.store import Store
from flwr.store.compiled import driver_of
from flwr.store.hub import HubStore
from flwr.store.hubrecords import NewBody, NewCheckpoint, NewMessage, NewReply, Principal

NODES, MESSAGES = int(sys.argv[2]), int(sys.argv[3])
RUN = 7

def say(*words):
    print(*words, flush=True)

async def content(store, who, text):
    data = text.encode() * 20_000
    object_id = blake3(data).hexdigest()
    if await store.object_offset(who, object_id, 1000.0) is not None:
        upload = await store.begin_upload(who, object_id, len(data))
        upload.write(data[upload.offset:])
        await store.admit(upload, who, 1000.0)
    return NewBody.of(text.encode(), [(object_id, len(data))])

async def scope(store, attempt, node, number):
    run, me = Principal("run", RUN), Principal("node", node.node_id)
    found = await store.restore(RUN, number)
    step = 0 if found is None else found.step + 1
    while True:
        ids = [f"{number}-{step}-{place}" for place in range(MESSAGES)]
        model = await content(store, run, f"model {number} {step}")
        messages = [
            NewMessage(message_id=id_, node_id=node.node_id, message_type="train", body=0)
            for id_ in ids
        ]
        given = await store.enqueue(RUN, attempt, messages, [model], {}, 1000.0)
        assert not given.refused, given
        say("put", *ids)
        for id_ in ids:
            update = await content(store, me, f"update {id_}")
            reply = NewReply(message_id=id_, run_id=RUN, body=update)
            answered = await store.answer(node.node_id, [reply], 1000.0)
            assert answered.accepted == (id_,), answered
            say("answered", id_, *(["new"] if answered.runs else []))
        state = await content(store, run, f"state {number} {step}")
        context = NewBody.of(f"context {step}".encode())
        await store.checkpoint(
            RUN, attempt,
            NewCheckpoint(scope=number, step=step, state=state, context=context, release=ids),
            1000.0,
        )
        say("saved", number, step)
        step += 1

async def main():
    store = HubStore.open(Path(sys.argv[1]), reserve=0)
    await store.create_run(new_run(run_id=RUN), "serverapp", b"fab", 1.0)
    attempt, _ = await store.launch(RUN, 1.0)
    nodes = [await store.hello(f"node {n}", str(attempt), "", {}, 1.0) for n in range(NODES)]
    await asyncio.gather(*(scope(store, attempt, node, n) for n, node in enumerate(nodes)))

asyncio.run(main())
"""


class Ledger:
    """What killed processes had acknowledged."""

    def __init__(self) -> None:
        self.saved: dict[int, int] = {}  # newest step by scope
        self.put: set[str] = set()
        self.answered: set[str] = set()
        self.new: Counter[str] = Counter()

    def take(self, line: str) -> None:
        what, *words = line.split()
        if what == "put":
            self.put.update(words)
        elif what == "answered":
            self.answered.add(words[0])
            self.new[words[0]] += "new" in words
        else:
            self.saved[int(words[0])] = int(words[1])

    def check(self, desk: Desk) -> None:
        rows = desk.collect(7)
        assert [row.seq for row in rows] == sorted({row.seq for row in rows})
        replies = Counter(row.message_id for row in rows)
        assert set(replies.values()) <= {1}
        for row in rows:
            assert row.body == f"update {row.message_id}".encode()
        steps = {}
        for scope in range(NODES):
            found = desk.do(desk.store.restore(7, scope))
            steps[scope] = -1 if found is None else found.step
            assert steps[scope] >= self.saved.get(scope, -1)
            if found is not None:
                assert found.state == f"state {scope} {found.step}".encode()
                assert found.context == f"context {found.step}".encode()

        def is_open(id_: str) -> bool:  # not released by a checkpoint, acknowledged or not
            scope, step, _ = map(int, id_.split("-"))
            return step > steps[scope]

        assert replies.keys() >= {id_ for id_ in self.answered if is_open(id_)}
        assert all(is_open(id_) for id_ in replies)
        work = [row for node in desk.do(desk.store.nodes()) for row in desk.lease(node).rows]
        messages = replies.keys() | {row.message_id for row in work}
        assert messages >= {id_ for id_ in self.put if is_open(id_)}
        assert all(is_open(id_) for id_ in messages)
        assert set(self.new.values()) <= {0, 1}


@pytest.mark.parametrize(("seed", "kills"), [(1, 6), pytest.param(2, 100, marks=pytest.mark.slow)])
@pytest.mark.timeout(600)
def test_kills_at_random_instants_lose_nothing_and_do_nothing_twice(
    path: Path, script: Script, seed: int, kills: int
) -> None:
    rng = random.Random(seed)
    ledger = Ledger()
    for _ in range(kills):
        process = script(LIFE, path, NODES, MESSAGES)
        assert process.stdout is not None
        for _ in range(rng.randint(1, 120)):
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            ledger.take(line)
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate()
        for line in rest.splitlines(keepends=True):
            if line.endswith("\n"):
                ledger.take(line)
        desk = Desk(path)
        ledger.check(desk)
        desk.close()
    assert sum(ledger.saved.values()) > 0


FULL_DISK = """
import asyncio, resource, sys
from hub_desk import Desk
from pathlib import Path
from flwr.errors import DiskFullError, StoreError
from flwr.store.hubrecords import NewBody, Principal

desk = Desk(Path(sys.argv[1]))
run_id, node = desk.run(), desk.node()
unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, unlimited[1]))
run = Principal("run", run_id)
try:
    desk.upload(run, b"large" * 100_000)
except DiskFullError as error:
    print("object:", error.message)
acknowledged = []
try:
    for number in range(100):
        desk.put(run_id, node.node_id, f"m{number}", body=NewBody.of(bytes([number]) * 20_000))
        acknowledged.append(f"m{number}")
except StoreError as error:
    print("database:", error.message)
assert 0 < len(acknowledged) < 100
assert desk.leased(node) == acknowledged
resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
desk.put(run_id, node.node_id, "last", body=desk.content(run, b"large" * 100_000))
assert desk.leased(node) == [*acknowledged, "last"]
desk.close()
print("went on")
"""


def test_a_hub_whose_files_cannot_grow_goes_on_when_they_can(path: Path, script: Script) -> None:
    output, errors = script(FULL_DISK, path).communicate()
    first, second, last = output.splitlines() or [errors, "", ""]
    assert first.startswith("object: ")
    assert "cannot grow" in first
    assert second.startswith(f"database: {path}")
    assert last == "went on", errors
    check_sound(path)


def test_only_its_owner_reads_what_a_hub_keeps(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        hub = Desk(tmp_path / "new" / "state.db")
        hub.run()
        modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "new").iterdir()}
        hub.close()
    finally:
        os.umask(before)
    assert modes == {
        "state.db": 0o600,
        "state.db-wal": 0o600,
        "state.db-shm": 0o600,
        "state.db.blobs": 0o700,
    }


def test_a_database_is_left_alone_while_another_hub_uses_it(
    kept: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[object] = []
    monkeypatch.setattr(Store, "open", lambda *_, **__: opened.append(1))  # it would be migrated
    with pytest.raises(StoreError, match="in use by another SuperLink"):
        HubStore.open(kept.path)
    assert opened == []
