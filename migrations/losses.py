"""What a downgrade may not throw away unasked."""

from alembic import context

MAY_LOSE_DATA = "may_lose_data"


class DataWouldBeLost(Exception):
    """A downgrade would delete what no upgrade brings back; nothing has changed."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(
            f"This downgrade would delete {what}; nothing has been changed. Make a backup "
            "(docs/backup.md); then say --lose-data to delete it."
        )


def refuse_loss(count: int, what: str) -> None:
    """Stop a downgrade that would delete `count` rows, unless it was asked to; `what` names them.

    Call it first in `downgrade`.

    Raises:
        DataWouldBeLost: there are some, and nobody said that they may go.
    """
    if count and not context.config.attributes.get(MAY_LOSE_DATA, False):
        raise DataWouldBeLost(f"{count} {what}")
