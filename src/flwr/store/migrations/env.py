"""Run by Alembic, in the transaction that ``store/database.py`` began."""

from alembic import context

from flwr.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite alters few things in place
)
context.run_migrations()
