"""The sweeper: in every worker, it gives lost work to others and sends lost messages again."""

import logging

from sqlalchemy.exc import SQLAlchemyError

from kdstore import idempotency, jobs, validation, workers
from kdstore.db import transaction
from kdstore.errors import KdstoreError
from kdstore.queue import TRAIN_JOB, TRAINING_QUEUES, VALIDATE_DATASET, VALIDATE_MODEL
from kdstore.tracing import attempt_of
from worker.builtin_datasets import request_builtins
from worker.contact import DatabaseContact
from worker.runtime import Runtime
from worker.self_service import SelfService

_log = logging.getLogger(__name__)


def run_sweeper(runtime: Runtime, self_service: SelfService) -> None:
    """Sweep until the worker stops. A sweep that fails is one that the next one makes good.

    After a time without the database the first sweeps are left out, see `DatabaseContact`.
    """
    has_builtins = False
    contact = DatabaseContact(runtime.settings)
    while True:
        try:
            be_seen(runtime)
            contact.made()
            if contact.is_settled:
                sweep(runtime)
            self_service.look()
            if not has_builtins:
                request_builtins(runtime)
                has_builtins = True
        except (KdstoreError, SQLAlchemyError) as error:
            contact.lost()
            _log.warning("sweep failed", extra={"detail": type(error).__name__})
        if runtime.stopping.wait(runtime.settings.sweep_seconds):
            return


def be_seen(runtime: Runtime) -> None:
    """Say that this worker is there."""
    with transaction(runtime.session_factory) as session:
        workers.seen(session, name=runtime.name, device=runtime.device, capacity=runtime.capacity)


def sweep(runtime: Runtime) -> None:
    """Do all of one sweep. Each part is a transaction; its messages are sent after it."""
    _sweep_jobs(runtime)
    _sweep_validations(runtime)
    with transaction(runtime.session_factory) as session:
        idempotency.sweep(session, older_than_seconds=runtime.settings.idempotency_seconds)
    runtime.metrics.sweep_succeeded()


def _sweep_jobs(runtime: Runtime) -> None:
    settings = runtime.settings
    with transaction(runtime.session_factory) as session:
        swept = jobs.sweep(session, republish_seconds=settings.republish_seconds)
    closed = (*swept.requeued, *swept.failed, *swept.cancelled, *swept.paused)
    runtime.metrics.leases_lost(len(closed))
    for cause, job_ids in (
        ("requeued", swept.requeued),
        ("failed", swept.failed),
        ("cancelled", swept.cancelled),
        ("paused", swept.paused),
    ):
        for job_id in job_ids:
            _log.warning("lost attempt closed", extra={"job_id": job_id, "cause": cause})
    for attempt in swept.lost:
        _tell_lost(runtime, attempt)
    for job in swept.to_publish:
        runtime.postbox.post(TRAIN_JOB, job.id, TRAINING_QUEUES[job.wanted_device])


def _tell_lost(runtime: Runtime, attempt: jobs.LostAttempt) -> None:
    """Tell the span that the silent worker never will: what it told already lies below it."""
    place = attempt_of(attempt.job_id, attempt.number)
    with runtime.tracing.span(
        "attempt",
        place=place,
        kind="consumer",
        started_at=attempt.started_at,
        job_id=attempt.job_id,
        attempt=attempt.number,
        worker=attempt.worker,
        device=attempt.device,
        cause="lost",
    ) as span:
        span.fail("lost")


def _sweep_validations(runtime: Runtime) -> None:
    settings = runtime.settings
    with transaction(runtime.session_factory) as session:
        swept = validation.sweep(session, republish_seconds=settings.republish_seconds)
    for model_id in swept.models:
        runtime.postbox.post(VALIDATE_MODEL, model_id)
    for dataset_id in swept.datasets:
        runtime.postbox.post(VALIDATE_DATASET, dataset_id)
