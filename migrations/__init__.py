"""Alembic migrations of the tables in kdstore, run on start-up or by `python -m migrations`."""

from migrations.commands import (
    TablesInUse,
    current_revision,
    downgrade,
    find_drift,
    head_revision,
    upgrade,
)
from migrations.losses import DataWouldBeLost

__all__ = [
    "DataWouldBeLost",
    "TablesInUse",
    "current_revision",
    "downgrade",
    "find_drift",
    "head_revision",
    "upgrade",
]
