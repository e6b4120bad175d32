"""Alembic migrations of the tables in kdstore, run on start-up or by `python -m migrations`."""

from migrations.commands import downgrade, find_drift, upgrade

__all__ = ["downgrade", "find_drift", "upgrade"]
