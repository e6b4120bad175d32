"""Built-in datasets: made by the first worker that needs them, stored once."""

import time

from kdcore.errors import KdcoreError
from kdstore import datasets
from kdstore.db import transaction
from kdstore.objects import Check
from kdstore.queue import VALIDATE_DATASET
from worker.ingest import validate
from worker.runtime import Runtime

_MAX_SECONDS = 120.0
_POLL_SECONDS = 0.25


class BuiltinNotMade(KdcoreError):
    """The built-in `dataset` was not made in time; no job is at fault for that."""

    code = "builtin_not_made"
    fault = "system"

    def __init__(self, dataset: str) -> None:
        self.dataset = dataset
        super().__init__(
            f"The built-in dataset {dataset} could not be made in time. The workers' logs say why."
        )


def request_builtins(runtime: Runtime) -> None:
    """Have every built-in dataset made that is not there yet."""
    for name in datasets.BUILTIN_DATASETS:
        if _status_of(runtime, name) == "validating":
            runtime.postbox.post(VALIDATE_DATASET, name)


def ensure_ready(
    runtime: Runtime, dataset: str, *, check: Check, max_seconds: float = _MAX_SECONDS
) -> None:
    """Wait until a built-in dataset is there, and make it if nobody does; others are left alone.

    What `check` raises while it waits is raised.

    Raises:
        BuiltinNotMade: it is not there after `max_seconds`.
    """
    if dataset not in datasets.BUILTIN_DATASETS:
        return
    give_up_at = time.monotonic() + max_seconds
    while _status_of(runtime, dataset) == "validating":
        check()
        if time.monotonic() > give_up_at:
            raise BuiltinNotMade(dataset)
        validate(runtime, "dataset", dataset)
        time.sleep(_POLL_SECONDS)


def _status_of(runtime: Runtime, name: str) -> str:
    with transaction(runtime.session_factory) as session:
        return datasets.ensure_builtin(session, name).status
