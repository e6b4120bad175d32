"""Add from when a job that came back may be claimed, apart from its place in the queue.

Release order: migrate first, then start the new code. The code of the release before neither
writes nor reads the column: the jobs that its attempts give back go to the queue's end, as ever.

A worker that was killed as its job succeeded left rows of checkpoints behind, which nothing would
ever have deleted: they go here, and the objects that they name are swept as orphans.

Undoing it loses nothing that is needed: jobs keep their places; those that wait for a failure to
pass are tried at once, and ages in metrics count from when a person last sent a job into the queue.
"""

import sqlalchemy as sa
from alembic import op

revision = "c3d81a60f2b4"
down_revision = "5ae91d7c40f8"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go from the revision before to this one."""
    op.add_column("jobs", sa.Column("claimable_at", sa.DateTime(timezone=True), nullable=True))
    jobs = sa.table("jobs", sa.column("id", sa.String), sa.column("status", sa.String))
    checkpoints = sa.table("checkpoints", sa.column("job_id", sa.String))
    succeeded = sa.select(jobs.c.id).where(jobs.c.status == "succeeded")
    op.execute(sa.delete(checkpoints).where(checkpoints.c.job_id.in_(succeeded)))


def downgrade() -> None:
    """Go back to the revision before."""
    op.drop_column("jobs", "claimable_at")
