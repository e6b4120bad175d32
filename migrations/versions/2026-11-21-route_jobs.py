"""Add what jobs need of a worker, what workers have, and when a workspace was last served.

Release order: migrate first, then start the new code; so the code of the release before must
still run on these tables. Every column is nullable or has a server default.
"""

import sqlalchemy as sa
from alembic import op

revision = "1f4be02c7d33"
down_revision = "6d0c1f7a92be"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go from the revision before to this one."""
    op.add_column(
        "jobs",
        sa.Column("wanted_device", sa.String(length=8), server_default="any", nullable=False),
    )
    op.add_column(
        "jobs", sa.Column("num_processes", sa.Integer(), server_default="1", nullable=False)
    )
    op.add_column("jobs", sa.Column("memory_bytes", sa.BigInteger(), nullable=True))
    op.add_column(
        "workers", sa.Column("max_processes", sa.Integer(), server_default="1", nullable=False)
    )
    op.add_column("workers", sa.Column("memory_bytes", sa.BigInteger(), nullable=True))
    op.add_column("workspaces", sa.Column("served_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    """Go back to the revision before."""
    op.drop_column("workspaces", "served_at")
    op.drop_column("workers", "memory_bytes")
    op.drop_column("workers", "max_processes")
    op.drop_column("jobs", "memory_bytes")
    op.drop_column("jobs", "num_processes")
    op.drop_column("jobs", "wanted_device")
