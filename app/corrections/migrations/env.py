"""Alembic's entry: brings the database of the connection that app.corrections.journal passes to the newest form."""

from alembic import context

from app.corrections.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
