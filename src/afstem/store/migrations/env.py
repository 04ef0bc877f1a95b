"""Alembic runs this file; the connection and its transaction belong to whoever called `migrations.upgrade`."""

from alembic import context

from afstem.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
