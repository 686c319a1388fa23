"""The tables. A change here needs a revision in ``migrations/versions`` and a new ``REVISION``."""

from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    TypeDecorator,
)

REVISION = "0001"


class Packed(TypeDecorator[dict[str, Any]]):
    """A dict of plain values as msgpack, which keeps NaN and tells 1 from 1.0."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: dict[str, Any] | None, dialect: Dialect) -> bytes | None:
        """Pack."""
        return None if value is None else msgspec.msgpack.encode(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> dict[str, Any] | None:
        """Unpack."""
        return None if value is None else msgspec.msgpack.decode(value, type=dict[str, Any])


metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

runs = Table(
    "runs",
    metadata,
    Column("run_id", BigInteger, primary_key=True, autoincrement=False),
    Column("fab_id", String, nullable=False),
    Column("fab_version", String, nullable=False),
    Column("fab_hash", String, nullable=False),
    Column("federation", String, nullable=False),
    Column("app_dir", String, nullable=False),
    Column("run_config", Packed, nullable=False),
    Column("options", Packed, nullable=False),
    Column("state", String, nullable=False),
    Column("details", String, nullable=False),
    # Unix seconds; the newest that is set belongs to the state
    Column("pending_at", Double, nullable=False),
    Column("starting_at", Double),
    Column("running_at", Double),
    Column("finished_at", Double),
    # Folded from the events, in the transaction that adds them
    Column("event_seq", BigInteger, nullable=False),  # of the newest event
    Column("last_event_at", Double),
    Column("nodes", Integer),
    Column("rounds_done", Integer, nullable=False),
    Column("rounds", Integer),
    Column("failures", Integer, nullable=False),
    Column("client_seconds", Double, nullable=False),
    Column("metrics", Packed, nullable=False),
    Index("runs_by_age", "pending_at"),
    Index("runs_by_state", "state"),
)

events = Table(
    "events",
    metadata,
    Column("run_id", BigInteger, ForeignKey("runs.run_id"), primary_key=True, autoincrement=False),
    # Numbered under the lock of the run's row, so that commit order is number order
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False),
    Column("kind", String, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

# Alembic's own table, spelled out so that a new database is stamped without importing Alembic
stamp_metadata = MetaData()
stamp = Table(
    "alembic_version",
    stamp_metadata,
    Column("version_num", String(32), primary_key=True),
)
