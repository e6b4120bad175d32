"""Add from when a validation may be tried again, and which of its tries has a reader at work.

Release order: migrate first, then start the new code. The code of the release before neither
writes nor reads the columns: it tries again at once, and counts every lease that runs out.

Undoing it loses nothing that is needed: what waited for its next try is tried at once.
"""

import sqlalchemy as sa
from alembic import op

revision = "5ae91d7c40f8"
down_revision = "8b25c0f4e917"
branch_labels = None
depends_on = None

_TABLES = ("datasets", "models")


def upgrade() -> None:
    """Go from the revision before to this one."""
    for table in _TABLES:
        op.add_column(table, sa.Column("reading_number", sa.Integer(), nullable=True))
        op.add_column(table, sa.Column("claimable_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    """Go back to the revision before."""
    for table in _TABLES:
        op.drop_column(table, "claimable_at")
        op.drop_column(table, "reading_number")
