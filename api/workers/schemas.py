"""Workers and the queue as clients read them."""

from datetime import datetime

from pydantic import ConfigDict, Field

from api.schemas import Answer


class WorkerRead(Answer):
    """A worker that was seen lately."""

    name: str
    device: str
    max_processes: int = Field(description="Most processes of one job: `resources.num_processes`.")
    memory_bytes: int | None = Field(description="Of its device; null if it does not know.")
    started_at: datetime
    last_seen_at: datetime
    job_id: str | None = Field(description="What it works on, if that is a job of this workspace.")


class QueueRead(Answer):
    """What waits for a worker, over all workspaces."""

    num_jobs: int
    oldest_queued_at: datetime | None


class WorkersRead(Answer):
    """Who works, on what device, and how long the queue is."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "workers": [
                        {
                            "name": "worker-1",
                            "device": "cpu",
                            "max_processes": 4,
                            "memory_bytes": 17179869184,
                            "started_at": "2026-07-01T12:00:00Z",
                            "last_seen_at": "2026-07-01T12:30:00Z",
                            "job_id": "job_4kq2m8x0c7n9w1r3t6y8zv",
                        }
                    ],
                    "queue": {"num_jobs": 2, "oldest_queued_at": "2026-07-01T12:29:00Z"},
                }
            ]
        }
    )

    workers: list[WorkerRead]
    queue: QueueRead
