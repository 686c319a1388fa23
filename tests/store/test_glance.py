"""Listing runs without what opens a database to be written: the same, or nothing."""

import sqlite3
from pathlib import Path

import pytest
from sample_runs import new_run

from flwr.app.events import RoundFinished, RoundStarted, RunStarted
from flwr.store import RunEvent, Store
from flwr.store.glance import ended_runs


@pytest.fixture
def ended(path: Path) -> Path:
    """Return a database of six runs, which ended in different ways."""
    with Store.open(path) as store:
        for i in range(6):
            run_id = store.create_run(new_run()).run_id
            if i % 2:
                store.move(run_id, RunEvent.START)
                store.move(run_id, RunEvent.RUN)
                store.record(run_id, RunStarted("app", nodes=7, workers=2))
                store.record(run_id, RoundStarted(round=1, of=1))
                store.record(run_id, RoundFinished(round=1, of=1, seconds=0.5))
                store.flush()
            end = (RunEvent.FAIL, RunEvent.COMPLETE, RunEvent.STOP)[i % 3]
            store.move(run_id, end if i % 2 else RunEvent.FAIL, "an é")
    return path


@pytest.mark.parametrize("limit", [None, 1, 4, 100])
def test_what_is_read_is_what_the_store_reads(ended: Path, limit: int | None) -> None:
    with Store.open(ended) as store:
        wanted = store.runs(limit)
        assert ended_runs(ended, limit) == wanted  # beside an open database
    assert len(wanted) == min(limit or 6, 6)
    assert ended_runs(ended, limit) == wanted


def test_nothing_is_written(ended: Path) -> None:
    before = ended.read_bytes()
    ended_runs(ended, None)
    assert ended.read_bytes() == before


def test_a_live_run_is_for_the_store(ended: Path) -> None:
    with Store.open(ended) as store:
        run = store.create_run(new_run())
        assert ended_runs(ended, 1) is None
        store.move(run.run_id, RunEvent.STOP)
        assert ended_runs(ended, 1) == [store.run(run.run_id)]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE alembic_version SET version_num = '9999'",
        "DELETE FROM alembic_version",
        "DROP TABLE alembic_version",
        "ALTER TABLE runs DROP COLUMN failures",
    ],
)
def test_other_tables_are_for_the_store(ended: Path, statement: str) -> None:
    driver = sqlite3.connect(ended)
    driver.execute(statement)
    driver.commit()
    driver.close()
    assert ended_runs(ended, None) is None


@pytest.mark.parametrize("content", [b"", b"no database at all, but a longer text" * 100])
def test_another_file_is_for_the_store(path: Path, content: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    assert ended_runs(path, None) is None


def test_a_missing_file_is_not_made(path: Path) -> None:
    assert ended_runs(path, None) is None
    assert not path.exists()
