"""Built-in datasets: made by the first worker that needs them, stored once."""

import time
from collections.abc import Callable

from kdstore import datasets
from kdstore.db import transaction
from kdstore.queue import VALIDATE_DATASET
from worker.ingest import validate
from worker.runtime import Runtime

_MAX_SECONDS = 120.0
_POLL_SECONDS = 0.25


def request_builtins(runtime: Runtime) -> None:
    """Have every built-in dataset made that is not there yet."""
    for name in datasets.BUILTIN_DATASETS:
        if _status_of(runtime, name) == "validating":
            runtime.postbox.post(VALIDATE_DATASET, name)


def ensure_ready(runtime: Runtime, dataset: str, *, should_stop: Callable[[], bool]) -> None:
    """Wait until a built-in dataset is there, and make it if nobody does; others are left alone.

    Returns without it when `should_stop` says so, or after two minutes: the caller looks.
    """
    if dataset not in datasets.BUILTIN_DATASETS:
        return
    give_up_at = time.monotonic() + _MAX_SECONDS
    while _status_of(runtime, dataset) == "validating":
        if should_stop() or time.monotonic() > give_up_at:
            return
        validate(runtime, "dataset", dataset)
        time.sleep(_POLL_SECONDS)


def _status_of(runtime: Runtime, name: str) -> str:
    with transaction(runtime.session_factory) as session:
        return datasets.ensure_builtin(session, name).status
