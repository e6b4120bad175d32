"""${message}.

Release order: migrate first, then start the new code; so the code of the release before must
still run on these tables. Add columns as nullable or with a server default, fill them in a later
migration, and drop in the release after the one that stopped using them. No statement waits for
longer than five seconds on a table in use (`migrations.commands` sets the lock timeout): then all
is rolled back, and it can be tried again.

Undoing it loses nothing. [Or say what: what the next upgrade cannot bring back is lost only after
`migrations.losses.refuse_loss` was called, and docs/deployment.md has a line on it.]
"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    """Go from the revision before to this one."""
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    """Go back to the revision before."""
    ${downgrades if downgrades else "pass"}
