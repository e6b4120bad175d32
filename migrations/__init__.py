"""Alembic migrations of the tables in kdstore."""
