"""The queue: a Celery app configured once for both sides, and messages that are only a knock."""

from typing import Any

from kdstore.settings import Settings

TRAINING_QUEUE = "training"
INGEST_QUEUE = "ingest"

TRAIN_JOB = "potstill.train_job"
VALIDATE_MODEL = "potstill.validate_model"
VALIDATE_DATASET = "potstill.validate_dataset"

QUEUE_OF_TASK = {
    TRAIN_JOB: TRAINING_QUEUE,
    VALIDATE_MODEL: INGEST_QUEUE,
    VALIDATE_DATASET: INGEST_QUEUE,
}


def make_celery(settings: Settings) -> Any:
    """Make the Celery app of this installation: JSON only, early acknowledgement, no results.

    Celery ships no types, hence Any.
    """
    raise NotImplementedError


def publish(app: Any, task: str, subject_id: str) -> None:
    """Send a message: the task's name and one id. Only after the commit that it tells of.

    Raises:
        QueueUnavailable: the broker did not take it. Go on: the sweeper sends it again.
    """
    raise NotImplementedError
