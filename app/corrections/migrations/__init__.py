"""The forms that the database has had, each as a step from the one before; alembic runs what is missing."""
