"""A job's inputs onto the worker's disk; those that cannot be had now fail no job."""

from dataclasses import dataclass
from pathlib import Path

from kdcore.spec import AnyJob
from kdstore import jobs
from kdstore.errors import StorageUnavailable
from kdstore.jobs import JobError
from worker.builtin_datasets import BuiltinNotMade, ensure_ready
from worker.messages import TrainOrder
from worker.orders import make_order
from worker.retries import DATABASE_AWAY, retry
from worker.runtime import Runtime
from worker.watch import AttemptWatch

_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Postponed:
    """The job's inputs cannot be had now: it is handed back, to be claimed again later."""

    error: JobError


def prepare(
    runtime: Runtime,
    claim: jobs.Claim,
    spec: AnyJob,
    *,
    folder: Path,
    watch: AttemptWatch,
) -> TrainOrder | Postponed:
    """Put everything that the job needs below `folder`, and write the order for its child.

    Raises:
        NotFound: a dataset or model is gone.
        InputNotReady: one is not ready, and no worker is about to make it.
        InputDamaged: one is not what it was.
        StorageError: one cannot be read, and trying again will not help.
        WorkStopped: the attempt must stop.
    """

    def place_inputs() -> TrainOrder:
        for dataset in spec.datasets:
            ensure_ready(runtime, dataset, check=watch.check, max_seconds=2 * _PATIENCE_SECONDS)
        return make_order(runtime, claim, spec, folder=folder, check=watch.check)

    prepared: TrainOrder | Postponed
    try:
        prepared = retry(place_inputs, abandon=runtime.abandon, max_seconds=_PATIENCE_SECONDS)
    except StorageUnavailable as error:
        prepared = _postponed(error.code, "Object storage cannot be read.")
    except DATABASE_AWAY:
        prepared = _postponed("database_unavailable", "The database cannot be reached.")
    except BuiltinNotMade as error:
        prepared = _postponed(error.code, error.message)
    watch.check()
    return prepared


def _postponed(code: str, reason: str) -> Postponed:
    message = f"{reason} The job is tried again by itself, and no attempt is counted."
    return Postponed(JobError(code=code, message=message, fault="system"))
