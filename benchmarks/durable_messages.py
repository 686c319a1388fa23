"""Messages that a hub's store acknowledges, each after the fsync of its commit.

Prints one JSON object: messages put in, and replies taken, by one caller and by 100 that go on
side by side, and commits of bare SQLite to judge them by. A message has a content of its own.
"""

import argparse
import asyncio
import json
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from flwr.clock import unix_now
from flwr.store import NewRun, new_run_id
from flwr.store.hub import HubStore
from flwr.store.hubrecords import NewBody, NewMessage, NewReply

CONTENT_BYTES = 300


async def per_second(callers: int, count: int, work: Callable[[int], Awaitable[object]]) -> float:
    """Return how many of `count` pieces of work are done a second."""
    numbers = iter(range(count))

    async def caller() -> None:
        for number in numbers:
            await work(number)

    start = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return count / (time.perf_counter() - start)


async def measure(store: HubStore, callers: int, count: int) -> dict[str, int]:
    """Let callers put messages into a run of their own, and then answer them."""
    run = NewRun(
        run_id=new_run_id(),
        fab_id="bench/messages",
        fab_version="1.0.0",
        fab_hash="00",
        federation="",
        app_dir="",
        run_config={},
        options={},
    )
    await store.create_run(run, "serverapp", b"", unix_now())
    attempt, _ = await store.launch(run.run_id, unix_now())
    node = await store.hello(f"node {run.run_id}", "one", "", {}, unix_now())
    bodies = [NewBody.of(f"{run.run_id} {n}".encode().ljust(CONTENT_BYTES)) for n in range(count)]

    async def put(number: int) -> None:
        message = NewMessage(
            message_id=f"{run.run_id}-{number}", node_id=node.node_id, message_type="train", body=0
        )
        await store.enqueue(run.run_id, attempt, [message], [bodies[number]], {}, unix_now())

    async def answer(number: int) -> None:
        reply = NewReply(
            message_id=f"{run.run_id}-{number}", run_id=run.run_id, body=bodies[number]
        )
        await store.answer(node.node_id, [reply], unix_now())

    return {
        "messages_per_s": round(await per_second(callers, count, put)),
        "replies_per_s": round(await per_second(callers, count, answer)),
    }


def bare_commits(folder: Path, count: int) -> float:
    """Return how many rows of that size SQLite commits a second, each after an fsync."""
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE lines (place INTEGER PRIMARY KEY, content BLOB)")
    start = time.perf_counter()
    for _ in range(count):
        connection.execute("INSERT INTO lines (content) VALUES (?)", (bytes(CONTENT_BYTES),))
    seconds = time.perf_counter() - start
    connection.close()
    return count / seconds


async def main(folder: Path, scale: float) -> None:
    """Measure, and print."""
    with HubStore.open(folder / "state.db") as store:
        await measure(store, 10, 200)  # statements and files that are warm
        figures = {"bare_commits_per_s": round(bare_commits(folder, int(2_000 * scale)))}
        for callers, count in ((1, 2_000), (100, 20_000)):
            measured = await measure(store, callers, int(count * scale))
            figures |= {f"{name}_{callers}": value for name, value in measured.items()}
    print(json.dumps(figures))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="on the disk to measure; by default a new one")
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of messages")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as made:
        asyncio.run(main(Path(made), given.scale))
