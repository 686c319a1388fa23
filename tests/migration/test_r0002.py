"""From runs alone to a hub's database: what was there stays, and a hub works with it."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from flwr.app.events import Exchange, NodeOutcome
from flwr.errors import DatabaseNewerError, StoreError
from flwr.store import RunEvent, RunState, Store
from flwr.store.database import MIGRATIONS
from flwr.store.format import REVISION
from flwr.store.hub import HubStore
from flwr.store.hubrecords import NewBody, NewMessage, NewReply
from flwr.store.records import NewRun
from flwr.store.schema import metadata


def rows(path: Path, query: str) -> list[Any]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def tables(path: Path) -> list[Any]:
    return rows(
        path,
        "SELECT type, name, sql FROM sqlite_master WHERE tbl_name != 'alembic_version' ORDER BY 2",
    )


@pytest.mark.parametrize("opened_by", [Store, HubStore])
def test_an_older_database_gets_today_s_tables_and_keeps_its_runs(
    older: Path, opened_by: type[Store] | type[HubStore], tmp_path: Path
) -> None:
    before = rows(older, "SELECT * FROM runs"), rows(older, "SELECT * FROM events")
    opened_by.open(older).close()
    assert (rows(older, "SELECT * FROM runs"), rows(older, "SELECT * FROM events")) == before
    assert rows(older, "SELECT * FROM alembic_version") == [(REVISION,)]
    Store.open(tmp_path / "new.db").close()
    assert tables(older) == tables(tmp_path / "new.db")
    with Store.open(older) as store:
        pending, failed = store.runs()
        assert (pending.run_id, pending.state) == (102, RunState.PENDING)
        assert (failed.run_id, failed.state, failed.details) == (101, RunState.FAILED, "why")
        assert (failed.rounds_done, failed.rounds, failed.metrics) == (
            1,
            3,
            {"train": {"loss": 0.5}},
        )
        outcomes = [NodeOutcome(1, 1.5, None), NodeOutcome(2, 0.5, "ValueError: no")]
        assert store.events(101)[2].event == Exchange("train", "1", 2.0, outcomes)


def test_a_hub_works_with_an_older_database(older: Path) -> None:
    new = NewRun(
        run_id=103,
        fab_id="acme/quickapp",
        fab_version="1.0.0",
        fab_hash="ab" * 32,
        federation="",
        app_dir="",
        run_config={},
        options={},
    )

    async def work(store: HubStore) -> None:
        await store.create_run(new, "serverapp", b"fab", 5.0)
        attempt, _ = await store.launch(103, 5.0)
        node = await store.hello("secret", "one", "", {}, 5.0)
        body = NewBody.of(b"content")
        message = NewMessage(message_id="m", node_id=node.node_id, message_type="train", body=0)
        await store.enqueue(103, attempt, [message], [body], {}, 5.0)
        reply = NewReply(message_id="m", run_id=103, body=body)
        assert (await store.answer(node.node_id, [reply], 5.0)).accepted == ("m",)
        await store.end_run(103, RunEvent.STOP, "", 0, 5.0)
        assert [run.run_id for run in await store.list_runs()] == [102, 101, 103]

    with HubStore.open(older) as store:
        asyncio.run(work(store))


def test_a_migration_that_fails_leaves_the_older_database(
    older: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tables(older)
    rows(older, "CREATE TABLE logs (in_the_way INTEGER)")  # the last but one that is made
    with pytest.raises(StoreError, match=r"state\.db"):
        HubStore.open(older)
    assert rows(older, "SELECT * FROM alembic_version") == [("0001",)]
    rows(older, "DROP TABLE logs")
    assert tables(older) == before
    HubStore.open(older).close()
    assert rows(older, "SELECT * FROM alembic_version") == [(REVISION,)]


def test_the_way_back_leads_to_the_older_tables(older: Path) -> None:
    before = tables(older)
    HubStore.open(older).close()
    engine = create_engine(f"sqlite:///{older}")
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
    engine.dispose()
    assert tables(older) == before


def test_a_newer_database_is_refused_by_a_hub_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    HubStore.open(path).close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    with pytest.raises(DatabaseNewerError, match=f"9999.*{REVISION}"):
        HubStore.open(path)
    assert path.read_bytes() == before


def test_the_schema_has_no_table_that_the_migrations_do_not_make(older: Path) -> None:
    HubStore.open(older).close()
    made = {row[0] for row in rows(older, "SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert made - {"alembic_version"} == set(metadata.tables)
