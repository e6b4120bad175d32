"""Add what jobs need of a worker, what workers have, and when a workspace was last served.

Release order: migrate first, then start the new code; so the code of the release before must
still run on these tables. Every column is nullable or has a server default.

Undoing it loses nothing: what jobs need is in their specs as well, and is read from there when
this is done again; workers tell what they have every few seconds. While it is undone, any worker
takes any job, and the turns of workspaces begin anew.
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
    _read_specs()


def _read_specs() -> None:
    """Fill in what jobs need that this release, or a later one, has queued before a downgrade."""
    jobs = sa.table(
        "jobs",
        sa.column("spec", sa.JSON),
        sa.column("wanted_device", sa.String),
        sa.column("num_processes", sa.Integer),
        sa.column("memory_bytes", sa.BigInteger),
    )
    resources = jobs.c.spec["resources"]
    device = resources["device"].as_string()
    num_processes = resources["num_processes"].as_integer()
    memory_bytes = sa.cast(resources["memory_bytes"].as_string(), sa.BigInteger)
    op.execute(
        sa.update(jobs)
        .where(sa.or_(device != "any", num_processes > 1, memory_bytes.is_not(None)))
        .values(
            wanted_device=sa.func.coalesce(device, "any"),
            num_processes=sa.func.coalesce(num_processes, 1),
            memory_bytes=memory_bytes,
        )
    )


def downgrade() -> None:
    """Go back to the revision before."""
    op.drop_column("workspaces", "served_at")
    op.drop_column("workers", "memory_bytes")
    op.drop_column("workers", "max_processes")
    op.drop_column("jobs", "memory_bytes")
    op.drop_column("jobs", "num_processes")
    op.drop_column("jobs", "wanted_device")
