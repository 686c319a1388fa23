"""The writer: groups, their order, and what happens when something cannot be written."""

import logging
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, Table, insert, select

from flwr.errors import StoreError
from flwr.store.database import DURABILITY, open_database
from flwr.store.writer import Writer

metadata = MetaData()
lines = Table("lines", metadata, Column("place", Integer, primary_key=True), Column("n", Integer))


class Ledger:
    """A database with one table, whose writing can be made to fail and to wait."""

    def __init__(self, path: Path | None) -> None:
        self.engine = open_database(path, fresh=False, patience=5.0)
        self.broken = False
        self.groups: list[list[int]] = []
        self.durabilities: list[object] = []
        self.gate = threading.Event()
        self.gate.set()
        self.writer: Writer[int] = Writer(self.engine, self.write, name="ledger")
        self.writer.call(metadata.create_all)

    def write(self, connection: Connection, items: Sequence[int]) -> None:
        if self.broken:
            raise OSError("no room")
        connection.execute(insert(lines), [{"n": item} for item in items])
        self.groups.append(list(items))
        self.durabilities.append(connection.get_execution_options()[DURABILITY])

    def append(self, n: int) -> None:
        self.writer.call(lambda connection: connection.execute(insert(lines).values(n=n)))

    def content(self) -> list[int]:
        query = select(lines.c.n).order_by(lines.c.place)
        return self.writer.call(lambda connection: list(connection.execute(query).scalars()))

    def hold(self) -> threading.Thread:
        """Keep the writer's thread busy until the gate opens."""
        self.gate.clear()
        entered = threading.Event()

        def wait(_: Connection) -> None:
            entered.set()
            self.gate.wait()

        thread = threading.Thread(target=self.writer.call, args=[wait])
        thread.start()
        entered.wait()
        return thread


@pytest.fixture(params=["file", "memory"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(tmp_path / "ledger.db" if request.param == "file" else None)
    yield opened
    opened.gate.set()
    opened.broken = False
    opened.writer.close()
    opened.engine.dispose()


def test_items_and_calls_are_committed_in_the_order_they_came(ledger: Ledger) -> None:
    for n in range(0, 60, 3):
        ledger.writer.post(n)
        ledger.writer.post(n + 1)
        ledger.append(n + 2)
    assert ledger.content() == list(range(60))


def test_what_gathers_while_a_group_commits_is_one_group(ledger: Ledger) -> None:
    busy = ledger.hold()
    for n in range(100):
        ledger.writer.post(n)
    ledger.gate.set()
    busy.join()
    ledger.writer.flush()
    assert ledger.groups == [list(range(100))]


def test_items_alone_need_not_be_on_disk_but_what_a_call_did_is(ledger: Ledger) -> None:
    busy = ledger.hold()
    for n in range(2000):
        ledger.writer.post(n)
    ledger.gate.set()
    busy.join()
    ledger.writer.flush()
    assert ledger.durabilities == ["normal", "normal"]
    assert ledger.writer.call(lambda c: c.get_execution_options()[DURABILITY]) == "full"


def test_more_than_a_group_is_written_in_several(ledger: Ledger) -> None:
    busy = ledger.hold()
    for n in range(2500):
        ledger.writer.post(n)
    ledger.gate.set()
    busy.join()
    ledger.writer.flush()
    assert [len(group) for group in ledger.groups] == [1000, 1000, 500]
    assert ledger.content() == list(range(2500))


def test_a_call_that_fails_fails_alone(ledger: Ledger) -> None:
    def guilty(connection: Connection) -> None:
        connection.execute(insert(lines).values(n=-1))
        raise KeyError("mine")

    failures: list[Exception] = []

    def call() -> None:
        try:
            ledger.writer.call(guilty)
        except KeyError as error:
            failures.append(error)

    busy = ledger.hold()
    others = [threading.Thread(target=call), threading.Thread(target=ledger.append, args=[2])]
    ledger.writer.post(1)
    for other in others:
        other.start()
    ledger.gate.set()
    for thread in (busy, *others):
        thread.join()
    ledger.writer.flush()
    assert [str(failure) for failure in failures] == ["'mine'"]
    assert sorted(ledger.content()) == [1, 2]


def test_what_cannot_be_written_is_kept_in_order_and_told_once(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    ledger.broken = True
    for n in range(1500):
        ledger.writer.post(n)
    for _ in range(3):
        with pytest.raises(StoreError, match="no room"):
            ledger.writer.flush()
    ledger.append(-1)  # calls go on, as far as they can
    ledger.writer.post(1500)
    assert [r.message for r in caplog.records if r.levelno >= logging.ERROR] == [
        "no room\nWhat the run tells is kept in memory and tried again."
    ]
    ledger.broken = False
    ledger.writer.flush()
    assert ledger.content() == [-1, *range(1501)]


def test_closing_tells_what_was_lost(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    ledger.broken = True
    for n in range(1200):
        ledger.writer.post(n)
    with pytest.raises(StoreError, match="1200 events were not recorded: no room"):
        ledger.writer.close()
    assert "no room" in caplog.text


def test_closing_writes_what_is_left(ledger: Ledger) -> None:
    busy = ledger.hold()
    for n in range(2500):
        ledger.writer.post(n)
    closing = threading.Thread(target=ledger.writer.close)
    closing.start()
    ledger.gate.set()
    closing.join()
    busy.join()
    assert [n for group in ledger.groups for n in group] == list(range(2500))
