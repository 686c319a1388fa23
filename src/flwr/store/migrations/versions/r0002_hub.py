"""Nodes, messages and replies, contents and objects, checkpoints, app processes, logs, apps."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

TABLES = (
    "nodes",
    "bodies",
    "body_objects",
    "objects",
    "grants",
    "messages",
    "replies",
    "checkpoints",
    "hosted",
    "launches",
    "logs",
    "fabs",
)


def upgrade() -> None:
    """Create the tables."""
    _create_nodes()
    _create_contents()
    _create_messages()
    _create_runs()


def downgrade() -> None:
    """Drop the tables."""
    for table in reversed(TABLES):
        op.drop_table(table)


def _create_nodes() -> None:
    op.create_table(
        "nodes",
        sa.Column("node_id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("secret_hash", sa.String, nullable=False),
        sa.Column("instance", sa.String, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("node_config", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("online", sa.Integer, nullable=False),
        sa.Column("online_since", sa.Double),
        sa.Column("offline_since", sa.Double),
        sa.PrimaryKeyConstraint("node_id", name="pk_nodes"),
        sa.UniqueConstraint("secret_hash", name="uq_nodes_secret_hash"),
    )


def _create_contents() -> None:
    op.create_table(
        "bodies",
        sa.Column("body_id", sa.String, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("nbytes", sa.BigInteger, nullable=False),
        sa.Column("uses", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("body_id", name="pk_bodies"),
    )
    op.create_table(
        "body_objects",
        sa.Column("body_id", sa.String, nullable=False),
        sa.Column("object_id", sa.String, nullable=False),
        sa.PrimaryKeyConstraint("body_id", "object_id", name="pk_body_objects"),
    )
    op.create_index("bodies_by_object", "body_objects", ["object_id"])
    op.create_table(
        "objects",
        sa.Column("object_id", sa.String, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("object_id", name="pk_objects"),
    )
    op.create_table(
        "grants",
        sa.Column("object_id", sa.String, nullable=False),
        sa.Column("principal", sa.String, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("held", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("object_id", "principal", name="pk_grants"),
    )
    op.create_index("grants_by_principal", "grants", ["principal"])
    op.create_index("grants_held", "grants", ["at"], sqlite_where=sa.text("held = 1"))


def _create_messages() -> None:
    op.create_table(
        "messages",
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("message_id", sa.String, nullable=False),
        sa.Column("run_id", sa.BigInteger, nullable=False),
        sa.Column("node_id", sa.BigInteger, nullable=False),
        sa.Column("message_type", sa.String, nullable=False),
        sa.Column("meta", sa.LargeBinary, nullable=False),
        sa.Column("body_id", sa.String, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("ttl", sa.Double, nullable=False),
        sa.Column("expires", sa.Double, nullable=False),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("reply_seq", sa.BigInteger),
        sa.PrimaryKeyConstraint("seq", name="pk_messages"),
        sa.UniqueConstraint("message_id", name="uq_messages_message_id"),
    )
    op.create_index(
        "messages_open",
        "messages",
        ["node_id", "seq", "expires"],
        sqlite_where=sa.text("state < 2"),
    )
    op.create_table(
        "replies",
        sa.Column("run_id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("message_id", sa.String, nullable=False),
        sa.Column("node_id", sa.BigInteger, nullable=False),
        sa.Column("meta", sa.LargeBinary, nullable=False),
        sa.Column("body_id", sa.String),
        sa.Column("error_code", sa.Integer),
        sa.Column("error_reason", sa.String, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "seq", name="pk_replies"),
        sqlite_with_rowid=False,
    )


def _create_runs() -> None:
    op.create_table(
        "checkpoints",
        sa.Column("run_id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("scope", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("step", sa.BigInteger, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("state_id", sa.String),
        sa.Column("context_id", sa.String, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "scope", name="pk_checkpoints"),
    )
    op.create_table(
        "hosted",
        sa.Column("run_id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("launches", sa.Integer, nullable=False),
        sa.Column("checkpoints", sa.Integer, nullable=False),
        sa.Column("reply_seq", sa.BigInteger, nullable=False),
        sa.Column("log_seq", sa.BigInteger, nullable=False),
        sa.Column("report_attempt", sa.Integer, nullable=False),
        sa.Column("report_seq", sa.BigInteger, nullable=False),
        sa.Column("exit_code", sa.Integer, nullable=False),
        sa.Column("bytes_in", sa.BigInteger, nullable=False),
        sa.Column("bytes_out", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("run_id", name="pk_hosted"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_hosted_run_id"),
    )
    op.create_table(
        "launches",
        sa.Column("run_id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("attempt", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("token_hash", sa.String, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("pid", sa.BigInteger),
        sa.Column("process_created", sa.Double),
        sa.PrimaryKeyConstraint("run_id", "attempt", name="pk_launches"),
        sa.UniqueConstraint("token_hash", name="uq_launches_token_hash"),
    )
    op.create_table(
        "logs",
        sa.Column("run_id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("text", sa.String, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "seq", name="pk_logs"),
    )
    op.create_table(
        "fabs",
        sa.Column("fab_hash", sa.String, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("fab_hash", name="pk_fabs"),
    )
