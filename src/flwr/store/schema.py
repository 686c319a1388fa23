"""The tables. A change needs a revision in ``migrations/versions``, and ``format.REVISION``."""

from typing import Any

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
    text,
)

from flwr.store.format import pack, unpack


class Packed(TypeDecorator[dict[str, Any]]):
    """A dict of plain values, packed."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: dict[str, Any] | None, dialect: Dialect) -> bytes | None:
        """Pack."""
        return None if value is None else pack(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> dict[str, Any] | None:
        """Unpack."""
        return None if value is None else unpack(value)


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

# What follows is of hubs.

nodes = Table(
    "nodes",
    metadata,
    Column("node_id", BigInteger, primary_key=True, autoincrement=False),
    Column("secret_hash", String, nullable=False, unique=True),
    Column("instance", String, nullable=False),  # of its newest process, whose number is the epoch
    Column("epoch", BigInteger, nullable=False),
    Column("name", String, nullable=False),
    Column("node_config", Packed, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("online", Integer, nullable=False),  # 0 or 1
    Column("online_since", Double),
    Column("offline_since", Double),
)

# Contents: opaque bytes, and the objects that they refer to
bodies = Table(
    "bodies",
    metadata,
    Column("body_id", String, primary_key=True),  # BLAKE3 of the content
    Column("content", LargeBinary, nullable=False),
    Column("nbytes", BigInteger, nullable=False),  # with its objects
    Column("uses", Integer, nullable=False),  # rows below that refer to it; it goes with the last
)

body_objects = Table(
    "body_objects",
    metadata,
    Column("body_id", String, primary_key=True),
    Column("object_id", String, primary_key=True),
    Index("bodies_by_object", "object_id"),
)

objects = Table(
    "objects",
    metadata,
    Column("object_id", String, primary_key=True),  # BLAKE3 of the bytes, which are a file
    Column("size", BigInteger, nullable=False),
)

# Who may read and refer to an object: they uploaded it, or were sent it
grants = Table(
    "grants",
    metadata,
    Column("object_id", String, primary_key=True),
    Column("principal", String, primary_key=True),  # run-<id>, node-<id>
    Column("at", Double, nullable=False),
    # 1 until a content of theirs refers to it: so long it is kept without any reference
    Column("held", Integer, nullable=False),
    Index("grants_by_principal", "principal"),
    Index("grants_held", "at", sqlite_where=text("held = 1")),
)

QUEUED, LEASED, ANSWERED, FAILED = range(4)  # states of messages; those below ANSWERED are open

messages = Table(
    "messages",
    metadata,
    Column("seq", Integer, primary_key=True),  # the order in which nodes get them
    Column("message_id", String, nullable=False, unique=True),
    Column("run_id", BigInteger, nullable=False),
    Column("node_id", BigInteger, nullable=False),
    Column("message_type", String, nullable=False),
    Column("meta", LargeBinary, nullable=False),
    Column("body_id", String, nullable=False),
    Column("created", Double, nullable=False),
    Column("ttl", Double, nullable=False),
    Column("expires", Double, nullable=False),
    Column("state", Integer, nullable=False),
    Column("epoch", BigInteger, nullable=False),  # of the process that it was leased to
    Column("reply_seq", BigInteger),
    # No index but these two: each costs a page in every commit
    Index("messages_open", "node_id", "seq", "expires", sqlite_where=text("state < 2")),
)

replies = Table(
    "replies",
    metadata,
    Column("run_id", BigInteger, primary_key=True, autoincrement=False),
    # Numbered under the lock of the run's row, so that commit order is number order
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("message_id", String, nullable=False),
    Column("node_id", BigInteger, nullable=False),
    Column("meta", LargeBinary, nullable=False),
    Column("body_id", String),
    Column("error_code", Integer),
    Column("error_reason", String, nullable=False),
    Column("seconds", Double, nullable=False),
    sqlite_with_rowid=False,  # one page less in every commit
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("run_id", BigInteger, primary_key=True, autoincrement=False),
    Column("scope", Integer, primary_key=True, autoincrement=False),
    Column("step", BigInteger, nullable=False),
    Column("at", Double, nullable=False),
    Column("state_id", String),  # a body; none once the run has ended
    Column("context_id", String, nullable=False),  # a body
)

# What the hub knows of a run beside its row in `runs`
hosted = Table(
    "hosted",
    metadata,
    Column("run_id", BigInteger, ForeignKey("runs.run_id"), primary_key=True, autoincrement=False),
    Column("kind", String, nullable=False),  # serverapp, simulation
    Column("attempt", Integer, nullable=False),  # the newest; 0 before the first
    Column("launches", Integer, nullable=False),  # since the newest checkpoint or reply
    Column("checkpoints", Integer, nullable=False),
    Column("reply_seq", BigInteger, nullable=False),  # of the newest reply
    Column("log_seq", BigInteger, nullable=False),  # of the newest piece of the log
    Column("report_attempt", Integer, nullable=False),  # whose newest report
    Column("report_seq", BigInteger, nullable=False),  # has this number
    Column("exit_code", Integer, nullable=False),
    Column("bytes_in", BigInteger, nullable=False),
    Column("bytes_out", BigInteger, nullable=False),
)

launches = Table(
    "launches",
    metadata,
    Column("run_id", BigInteger, primary_key=True, autoincrement=False),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("token_hash", String, nullable=False, unique=True),
    Column("at", Double, nullable=False),
    Column("pid", BigInteger),
    Column("process_created", Double),
)

logs = Table(
    "logs",
    metadata,
    Column("run_id", BigInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False),
    Column("text", String, nullable=False),
)

fabs = Table(
    "fabs",
    metadata,
    Column("fab_hash", String, primary_key=True),  # SHA-256
    Column("content", LargeBinary, nullable=False),
)

# Alembic's own table, spelled out so that a new database is stamped without importing Alembic
stamp_metadata = MetaData()
stamp = Table(
    "alembic_version",
    stamp_metadata,
    Column("version_num", String(32), primary_key=True),
)
