"""Runs and their events."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "runs",
        sa.Column("run_id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("fab_id", sa.String, nullable=False),
        sa.Column("fab_version", sa.String, nullable=False),
        sa.Column("fab_hash", sa.String, nullable=False),
        sa.Column("federation", sa.String, nullable=False),
        sa.Column("app_dir", sa.String, nullable=False),
        sa.Column("run_config", sa.LargeBinary, nullable=False),
        sa.Column("options", sa.LargeBinary, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("details", sa.String, nullable=False),
        sa.Column("pending_at", sa.Double, nullable=False),
        sa.Column("starting_at", sa.Double),
        sa.Column("running_at", sa.Double),
        sa.Column("finished_at", sa.Double),
        sa.Column("event_seq", sa.BigInteger, nullable=False),
        sa.Column("last_event_at", sa.Double),
        sa.Column("nodes", sa.Integer),
        sa.Column("rounds_done", sa.Integer, nullable=False),
        sa.Column("rounds", sa.Integer),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("client_seconds", sa.Double, nullable=False),
        sa.Column("metrics", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("run_id", name="pk_runs"),
    )
    op.create_index("runs_by_age", "runs", ["pending_at"])
    op.create_index("runs_by_state", "runs", ["state"])
    op.create_table(
        "events",
        sa.Column("run_id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "seq", name="pk_events"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_events_run_id"),
    )


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table("events")
    op.drop_table("runs")
