"""Opening a database: new, of this version, older (migrated), newer (refused), damaged (kept)."""

import os
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    StaticPool,
    create_engine,
    event,
    insert,
    inspect,
    select,
)
from sqlalchemy.exc import DBAPIError, OperationalError

from flwr.clock import now, unix_now
from flwr.errors import DatabaseDamagedError, DatabaseNewerError
from flwr.store import schema
from flwr.store.compiled import driver_of
from flwr.store.faults import KEPT_HINT, faults, folder_fault
from flwr.store.format import REVISION

MIGRATIONS = Path(__file__).parent / "migrations"

# Execution option of a connection that writes: "full" is on disk when acknowledged, "normal"
# survives the death of the process. Without it, a connection only reads.
DURABILITY = "durability"


def open_database(path: Path | None, *, fresh: bool, patience: float) -> Engine:
    """Return an engine on a database that has today's tables.

    Parameters
    ----------
    path : Path or None
        The SQLite file, created with its folders if missing. None keeps all in memory.
    fresh : bool
        Rename a damaged file aside and begin a new one.
    patience : float
        Seconds to wait while another process holds the database.
    """
    if path is None:
        engine = _sqlite(":memory:", patience)
        _prepare(engine, "The database in memory")
        return engine
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Whoever makes it reads it; its companions get the same mode from SQLite
        os.close(os.open(path, os.O_RDONLY | os.O_CREAT, 0o600))
    except OSError as error:
        if not path.exists():
            raise folder_fault(error, path.parent) from error
    try:
        return _open_file(path, patience, thorough=fresh)
    except DatabaseDamagedError:
        if not fresh:
            raise
    _set_aside(path)
    return _open_file(path, patience, thorough=False)


def _open_file(path: Path, patience: float, *, thorough: bool) -> Engine:
    engine = _sqlite(str(path), patience)
    try:
        with faults(str(path)):
            if thorough:
                _check(engine, path)
            _use_write_ahead_log(engine, unix_now() + patience)
        _prepare(engine, str(path))
    except BaseException:
        engine.dispose()
        raise
    return engine


def _sqlite(database: str, patience: float) -> Engine:
    in_memory: dict[str, Any] = {"poolclass": StaticPool} if database == ":memory:" else {}
    engine = create_engine(
        URL.create("sqlite", database=database),
        connect_args={
            "timeout": patience,
            "isolation_level": None,  # transactions begin below, not where the driver guesses
            "check_same_thread": False,
        },
        **in_memory,
    )

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        driver = driver_of(connection)  # four times as fast as through SQLAlchemy
        durability = connection.get_execution_options().get(DURABILITY)
        if durability is None:
            driver.execute("BEGIN")
        else:
            driver.execute(f"PRAGMA synchronous={durability}")
            # at once: a lock that is taken when already reading cannot wait for others
            driver.execute("BEGIN IMMEDIATE")

    return engine


def _use_write_ahead_log(engine: Engine, deadline: float) -> None:
    """Let readers and a writer go on beside each other; the file remembers it."""
    with engine.connect() as connection:
        driver = driver_of(connection)
        while True:
            try:
                driver.execute("PRAGMA journal_mode=WAL")
            except sqlite3.OperationalError as error:
                # SQLite does not wait here when another process does the same at this moment
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or unix_now() > deadline:
                    raise
                driver.execute("BEGIN EXCLUSIVE")  # waits for that process
                driver.execute("COMMIT")
            else:
                return


def _prepare(engine: Engine, name: str) -> None:
    with faults(name):
        with engine.connect() as connection:
            if _revision(connection) == REVISION:
                return
        writing = engine.execution_options(**{DURABILITY: "full"})
        with writing.begin() as connection:
            _bring_up_to_date(connection, name)


def _bring_up_to_date(connection: Connection, name: str) -> None:
    revision = _revision(connection)
    if revision == REVISION:  # another process was faster
        return
    tables = inspect(connection).get_table_names()
    if not tables:
        schema.metadata.create_all(connection, checkfirst=False)
        schema.stamp_metadata.create_all(connection, checkfirst=False)
        connection.execute(insert(schema.stamp).values(version_num=REVISION))
    elif schema.stamp.name not in tables:
        raise DatabaseDamagedError(
            f"{name} is the database of another program (its tables: {', '.join(tables[:5])}).",
            hint=KEPT_HINT,
        )
    else:
        _migrate(connection, revision, name)


def _revision(connection: Connection) -> str | None:
    try:
        return connection.execute(select(schema.stamp.c.version_num)).scalar()
    except DBAPIError as error:
        if isinstance(error, OperationalError) and "no such table" in str(error.orig):
            return None
        raise


def _migrate(connection: Connection, revision: str | None, name: str) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        ScriptDirectory.from_config(config).get_revision(revision or "base")
    except CommandError as error:
        raise DatabaseNewerError(
            f"{name} was written by a newer version (its revision is {revision}, "
            f"this version knows {REVISION}).",
            hint="Use that version, or set FLWR_HOME to another folder.",
        ) from error
    command.upgrade(config, "head")


def _check(engine: Engine, path: Path) -> None:
    """Read the whole file, and raise if something in it is broken."""
    with engine.connect() as connection:
        found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
    if found != "ok":
        raise DatabaseDamagedError(f"{path} is damaged: {found}", hint=KEPT_HINT)


def _set_aside(path: Path) -> None:
    aside = path.with_name(f"{path.name}.damaged-{now():%Y%m%dT%H%M%S.%fZ}")
    try:
        for suffix in ("-wal", "-shm", ""):
            part = Path(f"{path}{suffix}")
            if part.exists():
                part.rename(f"{aside}{suffix}")
    except OSError as error:
        raise folder_fault(error, path) from error
