"""Workers: who was seen lately, on what device."""

from datetime import datetime

from sqlalchemy import BigInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from kdstore.tables.base import Base


class Worker(Base):
    """One worker process by its name; it shows itself with every heartbeat."""

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    device: Mapped[str] = mapped_column(String(64))
    max_processes: Mapped[int] = mapped_column(server_default="1")
    memory_bytes: Mapped[int | None] = mapped_column(BigInteger)  # of the device
    started_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
