"""Add which objects are condemned, and the duties that one worker does for all.

Release order: migrate first, then start the new code. The code of the release before knows
nothing of these tables and may refer to a condemned object; before one is deleted, after its
grace, references are looked up once more.

Undoing it loses nothing that is needed: objects that were condemned and not yet deleted are found
and condemned anew when it is done again, after a whole grace. Stop all workers first: one that was
about to delete an object would no longer know that nobody may refer to it.
"""

import sqlalchemy as sa
from alembic import op

revision = "8b25c0f4e917"
down_revision = "1f4be02c7d33"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go from the revision before to this one."""
    op.create_table(
        "condemned_objects",
        sa.Column("key", sa.String(length=512), nullable=False),
        sa.Column("condemned_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_condemned_objects")),
    )
    op.create_index(
        "ix_condemned_objects_deleted_at_condemned_at",
        "condemned_objects",
        ["deleted_at", "condemned_at"],
        unique=False,
    )
    op.create_table(
        "duties",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("worker", sa.String(length=200), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_duties")),
    )


def downgrade() -> None:
    """Go back to the revision before."""
    op.drop_table("duties")
    op.drop_index("ix_condemned_objects_deleted_at_condemned_at", table_name="condemned_objects")
    op.drop_table("condemned_objects")
