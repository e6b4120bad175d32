"""Alembic migrations of the tables in kdstore, run on start-up or by `python -m migrations`."""

from migrations.commands import (
    TablesInUse,
    current_revision,
    downgrade,
    find_drift,
    head_revision,
    upgrade,
)

__all__ = ["TablesInUse", "current_revision", "downgrade", "find_drift", "head_revision", "upgrade"]
