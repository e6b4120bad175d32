"""The queue: a Celery app configured once for both sides, and messages that are only a knock."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from kdcore.spec import WantedDevice
from kdstore.errors import QueueUnavailable
from kdstore.settings import Settings

if TYPE_CHECKING:
    from kombu.entity import Queue

TRAINING_QUEUE: Final = "training"
INGEST_QUEUE: Final = "ingest"

TRAINING_QUEUES: Final[dict[WantedDevice, str]] = {
    "any": TRAINING_QUEUE,
    "cpu": "training-cpu",
    "gpu": "training-gpu",
}
"""The queue of a job by the device that it wants: a worker listens where it can serve."""

TRAIN_JOB: Final = "potstill.train_job"
VALIDATE_MODEL: Final = "potstill.validate_model"
VALIDATE_DATASET: Final = "potstill.validate_dataset"

QUEUE_OF_TASK: Final = {
    TRAIN_JOB: TRAINING_QUEUE,
    VALIDATE_MODEL: INGEST_QUEUE,
    VALIDATE_DATASET: INGEST_QUEUE,
}

# Publishing is not worth waiting for: the row is committed, and the sweeper sends it again.
_CONNECT_OPTIONS: Final = {
    "max_retries": 1,
    "interval_start": 0.0,
    "interval_step": 0.1,
    "interval_max": 0.2,
}

# A Redis that does not answer is as good as away; a connection that looks idle is tried out.
_REDIS_OPTIONS: Final = {
    "socket_connect_timeout": 3.0,
    "socket_timeout": 5.0,
    "socket_keepalive": True,
    "health_check_interval": 10,
}


def make_celery(settings: Settings) -> Any:
    """Make the Celery app of this installation: JSON only, early acknowledgement, no results.

    It does not become Celery's current app, and connects when it is first used. Celery ships no
    types, hence Any.
    """
    from celery import Celery  # noqa: PLC0415  # a tenth of a second that imports do not pay

    app = Celery("potstill", set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        result_serializer="json",
        task_ignore_result=True,
        # A training message is acknowledged when it is taken; the lease guards the job from then.
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        task_default_queue=TRAINING_QUEUE,
        task_queues=[_queue(name) for name in (*TRAINING_QUEUES.values(), INGEST_QUEUE)],
        task_routes={task: {"queue": queue} for task, queue in QUEUE_OF_TASK.items()},
        task_create_missing_queues=False,
        # Nothing but our own messages goes through the broker.
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        # A worker waits for its broker for as long as that takes.
        broker_connection_retry=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        # Only tasks that acknowledge late would be cancelled, and none of ours does.
        worker_cancel_long_running_tasks_on_connection_loss=True,
        worker_enable_prefetch_count_reduction=False,
        broker_connection_timeout=3.0,
        **_broker_settings(settings.broker),
    )
    return app


def publish(app: Any, task: str, subject_id: str, *, queue: str | None = None) -> None:
    """Send a message: the task's name and one id. Only after the commit that it tells of.

    `queue` is one of `TRAINING_QUEUES` for a job that wants a device of a kind.

    Raises:
        QueueUnavailable: the broker did not take it. Go on: the sweeper sends it again.
    """
    from kombu.exceptions import OperationalError  # noqa: PLC0415  # loaded with Celery

    try:
        app.send_task(task, args=[subject_id], queue=queue or QUEUE_OF_TASK[task], retry=False)
    except (OperationalError, OSError) as error:
        raise QueueUnavailable(task, subject_id) from error


def _queue(name: str) -> "Queue":
    from kombu.entity import Queue  # noqa: PLC0415  # loaded with Celery

    return Queue(name)  # type: ignore[no-untyped-call]  # kombu types only part of itself


def _broker_settings(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    if parts.scheme == "filesystem":
        return _folder_settings(Path(unquote(parts.netloc + parts.path)))
    options: dict[str, Any] = dict(_CONNECT_OPTIONS)
    if parts.scheme in ("redis", "rediss"):
        options |= _REDIS_OPTIONS
    return {"broker_url": url, "broker_transport_options": options}


def _folder_settings(folder: Path) -> dict[str, Any]:
    """Settings of the broker that needs no server: each message is a file in a folder."""
    messages, control = folder / "messages", folder / "control"
    for path in (messages, control):
        path.mkdir(parents=True, exist_ok=True)
    return {
        "broker_url": "filesystem://localhost//",
        "broker_transport": "kdstore.folder_transport:Transport",
        "broker_transport_options": {
            **_CONNECT_OPTIONS,
            "data_folder_in": str(messages),
            "data_folder_out": str(messages),
            "control_folder": str(control),
            "polling_interval": 0.1,
        },
    }
