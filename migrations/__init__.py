"""Alembic migrations of the tables in kdstore, run on start-up or by `python -m migrations`."""

from migrations.commands import (
    TablesInUse,
    current_revision,
    downgrade,
    find_drift,
    head_revision,
    is_known,
    upgrade,
)
from migrations.losses import DataWouldBeLost
from migrations.strangers import UnknownRevision, unmet_needs

__all__ = [
    "DataWouldBeLost",
    "TablesInUse",
    "UnknownRevision",
    "current_revision",
    "downgrade",
    "find_drift",
    "head_revision",
    "is_known",
    "unmet_needs",
    "upgrade",
]
