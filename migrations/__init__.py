"""Alembic migrations: the only way the schema is made and changed. They travel inside the installed package."""
