"""Idempotency keys: the first answer to a request that may be sent again."""

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from kdstore.tables.base import Base, JsonObject


class IdempotencyKey(Base):
    """One key of one workspace, written in the transaction of what the request created."""

    __tablename__ = "idempotency_keys"

    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspaces.id"), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    route: Mapped[str] = mapped_column(String(255))
    body_sha256: Mapped[str] = mapped_column(String(64))
    response_status: Mapped[int | None]
    response_headers: Mapped[JsonObject | None]
    response_body: Mapped[JsonObject | None]
    created_at: Mapped[datetime] = mapped_column(index=True)
