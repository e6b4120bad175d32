"""The tasks: an id in, nothing out. What they do is elsewhere; what they leave is in the rows."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from kdstore.queue import QUEUE_OF_TASK, TRAIN_JOB, VALIDATE_DATASET, VALIDATE_MODEL
from worker.ingest import validate
from worker.runtime import Runtime
from worker.slots import Slot
from worker.supervisor import run_next

_log = logging.getLogger(__name__)


def register_tasks(app: Any, runtime: Runtime, slots: Mapping[str, Slot]) -> None:
    """Give a Celery app the three tasks; `slots` by queue. Celery ships no types, hence Any."""

    def train_job(_job_id: str) -> None:
        # The message is only a knock: the job whose turn it is may be another one.
        run_next(runtime)

    def validate_model(model_id: str) -> None:
        validate(runtime, "model", model_id)

    def validate_dataset(dataset_id: str) -> None:
        validate(runtime, "dataset", dataset_id)

    for name, task in (
        (TRAIN_JOB, train_job),
        (VALIDATE_MODEL, validate_model),
        (VALIDATE_DATASET, validate_dataset),
    ):
        guarded = _guarded(runtime, name, task, slots[QUEUE_OF_TASK[name]])
        # Not shared: Celery would add it to every other app of the process as well.
        app.task(name=name, shared=False)(guarded)


def _guarded(
    runtime: Runtime, name: str, task: Callable[[str], None], slot: Slot
) -> Callable[[str], None]:
    def run(subject_id: str) -> None:
        with slot.taken():
            if runtime.stopping.is_set():
                runtime.postbox.post(name, subject_id)
                return
            try:
                task(subject_id)
            except Exception:  # noqa: BLE001  # the boundary of a task
                # The row is the truth: what has not ended in it is found when its lease runs out.
                _log.exception("task failed", extra={"task": name, "subject_id": subject_id})

    return run
