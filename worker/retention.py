"""Retention in every worker, one of them at a time; `python -m worker.retention` does a round now.

`python -m worker.retention --dry-run` prints what a round would forget, condemn and delete, and
changes nothing.
"""

import argparse
import logging
import sys
from collections.abc import Sequence

from sqlalchemy.exc import SQLAlchemyError

from kdstore import duties
from kdstore.db import make_engine, make_session_factory, transaction
from kdstore.errors import KdstoreError
from kdstore.objects import ObjectStore
from kdstore.settings import Settings
from worker.expired_uploads import close_expired_uploads
from worker.garbage import Collected, Collector
from worker.runtime import Runtime

_log = logging.getLogger(__name__)

_DUTY = "retention"
_LOOK_SECONDS = 60.0


def run_retention(runtime: Runtime) -> None:
    """Close expired uploads and do the rounds that are due, until this worker stops.

    A thread of its own may wait for storage and delete thousands of objects: leases do not.
    """
    while not runtime.stopping.wait(min(_LOOK_SECONDS, runtime.settings.collect_every_seconds)):
        try:
            close_expired_uploads(runtime)
            collect_if_due(runtime)
        except (KdstoreError, SQLAlchemyError) as error:
            _log.warning("retention failed", extra={"detail": type(error).__name__})


def collect_if_due(runtime: Runtime) -> Collected | None:
    """Do a round if one is due; None if none is, or another worker does it."""
    with transaction(runtime.session_factory) as session:
        is_ours = duties.take(
            session,
            _DUTY,
            worker=runtime.name,
            every_seconds=runtime.settings.collect_every_seconds,
        )
    if not is_ours:
        return None
    collector = Collector(
        runtime.session_factory, runtime.objects, runtime.settings, runtime.stopping.is_set
    )
    collected = collector.collect()
    counts = ", ".join(f"{len(ids)} {what}" for what, ids in _by_kind(collected))
    _log.info("retention done", extra={"detail": counts})
    return collected


def main(arguments: Sequence[str] | None = None) -> int:
    """Do a round, or say what one would do: a line for each thing; 1 if storage is away."""
    parser = argparse.ArgumentParser(prog="python -m worker.retention", description=__doc__)
    parser.add_argument("--dry-run", action="store_true", help="print it, and change nothing")
    options = parser.parse_args(arguments)
    settings = Settings()
    engine = make_engine(settings.database, pool_size=2)
    try:
        collector = Collector(
            make_session_factory(engine),
            ObjectStore.from_url(settings.objects),
            settings,
            should_stop=lambda: False,
            is_dry_run=options.dry_run,
        )
        collected = collector.collect()
    except (KdstoreError, SQLAlchemyError) as error:
        sys.stderr.write(f"The round ended early: {type(error).__name__}. Run it again later.\n")
        return 1
    finally:
        engine.dispose()
    for what, ids in _by_kind(collected):
        for each in ids:
            sys.stdout.write(f"{what}\t{each}\n")
    return 0


def _by_kind(collected: Collected) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return (
        ("checkpoints forgotten", collected.checkpoints_of),
        ("artifacts forgotten", collected.artifacts_of),
        ("history forgotten", collected.history_of),
        ("job forgotten", collected.jobs),
        ("upload forgotten", collected.uploads),
        ("closed upload forgotten", collected.closed_uploads),
        ("worker forgotten", collected.workers),
        ("unfinished write deleted", collected.unfinished),
        ("object condemned", collected.condemned),
        ("object deleted", collected.deleted),
    )


if __name__ == "__main__":
    sys.exit(main())
