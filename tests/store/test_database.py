"""Opening files: new, old, newer, damaged, foreign, locked, unwritable."""

import sqlite3
from pathlib import Path

import pytest
from sample_runs import new_run

from flwr.app.events import RoundStarted
from flwr.errors import DatabaseDamagedError, DatabaseNewerError, StoreError
from flwr.store import Store
from flwr.store.format import REVISION
from flwr.store.schema import metadata


def run_sql(path: Path, *statements: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        rows: list[tuple[object, ...]] = []
        for statement in statements:
            rows = connection.execute(statement).fetchall()
        return rows
    finally:
        connection.close()


def schema_of(path: Path) -> list[tuple[object, ...]]:
    return run_sql(path, "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name")


def filled(path: Path, runs: int = 300) -> bytes:
    """Make a database with some runs, and return the file's bytes."""
    with Store.open(path) as store:
        for _ in range(runs):
            store.create_run(new_run())
    return path.read_bytes()


def test_the_file_and_its_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a b" / "100%é?#" / "runs.db"
    with Store.open(path) as store:
        run = store.create_run(new_run())
    with Store.open(path) as store:
        assert store.runs() == [run]
    assert [file.name for file in path.parent.iterdir()] == ["runs.db"]


def test_an_empty_file_is_a_new_database(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    with Store.open(path) as store:
        assert store.runs() == []


def test_readers_and_the_writer_do_not_wait_for_each_other(path: Path) -> None:
    with Store.open(path):
        assert run_sql(path, "PRAGMA journal_mode") == [("wal",)]


def test_migrations_make_the_schema_that_a_new_database_gets(tmp_path: Path) -> None:
    created, migrated = tmp_path / "created.db", tmp_path / "100%" / "migrated.db"
    Store.open(created).close()
    migrated.parent.mkdir()
    run_sql(
        migrated,  # as Alembic leaves one that is downgraded to the very beginning
        "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, "
        "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))",
    )
    with Store.open(migrated) as store:
        store.create_run(new_run())

    def ours(path: Path) -> list[tuple[object, ...]]:
        return [row for row in schema_of(path) if row[2] != "alembic_version"]

    assert ours(migrated) == ours(created)
    for path in (created, migrated):
        assert run_sql(path, "SELECT version_num FROM alembic_version") == [(REVISION,)]


def test_alembic_finds_nothing_to_change_in_a_new_database() -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with Store.open(None) as store, store.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_the_newest_migration_is_the_revision_that_new_databases_are_stamped_with() -> None:
    from alembic.script import ScriptDirectory

    from flwr.store.database import MIGRATIONS

    assert ScriptDirectory(str(MIGRATIONS)).get_heads() == [REVISION]


def test_a_newer_database_is_refused_and_left_as_it_is(path: Path) -> None:
    filled(path)
    run_sql(path, "UPDATE alembic_version SET version_num = '9999'")
    before = path.read_bytes()
    for fresh in (False, True):
        with pytest.raises(DatabaseNewerError, match="(?s)runs.db .*newer.*9999.*FLWR_HOME"):
            Store.open(path, fresh=fresh)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content",
    [b"few words", b"not a database\n" * 1000, b"SQLite format 3\x00" + b"\xff" * 5000],
    ids=["few words", "text", "header only"],
)
def test_a_file_that_is_no_database_is_named_and_left_as_it_is(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(DatabaseDamagedError, match="(?s)runs.db.*left as it is"):
        Store.open(path)
    assert path.read_bytes() == content
    assert [file.name for file in path.parent.iterdir()] == ["runs.db"]


def test_the_database_of_another_program_is_left_as_it_is(path: Path) -> None:
    path.parent.mkdir()
    run_sql(path, "CREATE TABLE bookmarks (url TEXT)")
    before = schema_of(path)
    with pytest.raises(DatabaseDamagedError, match=r"another program \(its tables: bookmarks\)"):
        Store.open(path)
    assert schema_of(path) == before


def test_a_fresh_database_is_begun_beside_the_damaged_one(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database\n" * 1000)
    with Store.open(path, fresh=True) as store:
        run = store.create_run(new_run())
        (aside,) = (file for file in path.parent.iterdir() if ".damaged-" in file.name)
        assert aside.name.startswith("runs.db.damaged-20")
        assert aside.read_bytes() == b"not a database\n" * 1000
    with Store.open(path, fresh=True) as store:
        assert store.runs() == [run]  # a sound database is never put aside


def test_damage_deep_in_the_file_is_noticed_when_read_and_when_a_fresh_one_is_asked_for(
    path: Path,
) -> None:
    content = bytearray(filled(path))
    ((page,),) = run_sql(path, "SELECT rootpage FROM sqlite_master WHERE name = 'runs'")
    content[(page - 1) * 4096 : page * 4096] = b"\xa5" * 4096  # tables are known, rows are not
    path.write_bytes(content)
    with Store.open(path) as store, pytest.raises(DatabaseDamagedError, match=r"runs\.db"):
        store.runs()
    with Store.open(path, fresh=True) as store:
        assert store.runs() == []


def test_a_truncated_file_is_damaged(path: Path) -> None:
    content = filled(path)
    path.write_bytes(content[: len(content) // 2 + 100])
    with pytest.raises(DatabaseDamagedError, match=r"runs\.db"), Store.open(path) as store:
        store.runs()


def test_a_folder_in_the_place_of_the_file(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(StoreError, match="(?s)runs.db cannot be opened.*FLWR_HOME"):
        Store.open(path)


def test_a_file_in_the_place_of_the_folder(path: Path) -> None:
    path.parent.write_text("")
    with pytest.raises(StoreError, match="(?s)home cannot be written.*FLWR_HOME"):
        Store.open(path)


def test_a_database_that_cannot_be_written_says_what_to_do(path: Path) -> None:
    filled(path)
    with Store.open(path) as store:
        store.writer.call(lambda connection: connection.exec_driver_sql("PRAGMA query_only=ON"))
        with pytest.raises(StoreError, match="(?s)runs.db cannot be written.*FLWR_HOME"):
            store.create_run(new_run())


def test_a_lock_that_another_process_keeps_too_long_is_an_error(path: Path) -> None:
    with Store.open(path, patience=0.05) as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"runs\.db is locked by another process"):
            store.create_run(new_run())
        assert store.runs() == []
        other.execute("COMMIT")
        other.close()
        run = store.create_run(new_run())
        assert store.runs() == [run]


def test_a_database_is_opened_and_read_while_another_process_writes(path: Path) -> None:
    Store.open(path).close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with Store.open(path, patience=0.05) as store:
        assert store.runs() == []
    other.execute("COMMIT")
    other.close()


def test_events_wait_in_memory_while_the_database_is_locked(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Store.open(path, patience=0.05) as store:
        run_id = store.create_run(new_run()).run_id
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        store.record(run_id, RoundStarted(round=1, of=1))
        with pytest.raises(StoreError, match="locked by another process"):
            store.flush()
        other.execute("COMMIT")
        other.close()
        store.flush()
        assert len(store.events(run_id)) == 1
    assert "locked by another process" in caplog.text
