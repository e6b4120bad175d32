"""The database: reachable, migrated, its clock, and the workers that it has seen."""

import importlib.util
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine, inspect, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from doctor.findings import Finding
from kdstore import workers
from kdstore.db import make_engine, make_session_factory, now, reading
from kdstore.settings import Settings
from kdstore.tables import Base

_SKEW_SECONDS = 5.0


def examine_database(settings: Settings) -> Iterator[Finding]:
    """Try the database, and what is read from it; nothing is written."""
    if _is_missing_file(settings):
        yield Finding(
            "database", "failed", "there is no SQLite file yet", "Start with `potstill up`."
        )
        return
    try:
        engine = make_engine(settings.database, pool_size=1)
    except (SQLAlchemyError, OSError, ImportError) as error:
        yield _unusable(error)
        return
    try:
        yield from _examine(engine, settings)
    except SQLAlchemyError as error:
        yield _unusable(error)
    finally:
        engine.dispose()


def _examine(engine: Engine, settings: Settings) -> Iterator[Finding]:
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    yield Finding("database", "ok", f"{engine.dialect.name} answers")
    missing = _missing_tables(engine)
    yield _migrated(engine, missing)
    if missing:
        return
    with reading(make_session_factory(engine)) as session:
        skew_seconds = abs((now(session) - datetime.now(UTC)).total_seconds())
        seen = workers.read_all(session, within_seconds=settings.lease_seconds)
    yield _clock(skew_seconds)
    yield _workers(len(seen), settings.lease_seconds)


def _is_missing_file(settings: Settings) -> bool:
    url = make_url(settings.database)
    return url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file()


def _unusable(error: Exception) -> Finding:
    return Finding(
        "database",
        "failed",
        f"cannot be used ({type(error).__name__})",
        "Check POTSTILL_DATABASE_URL, that the server runs, and that its name and password fit.",
    )


def _missing_tables(engine: Engine) -> list[str]:
    return sorted(set(Base.metadata.tables) - set(inspect(engine).get_table_names()))


def _migrated(engine: Engine, missing: list[str]) -> Finding:
    advice = "Run `python -m migrations` with the release that runs here."
    is_here = importlib.util.find_spec("migrations") is not None
    if is_here and (stranger := _migrated_elsewhere(engine)) is not None:
        return stranger
    if missing:
        return Finding("migrations", "failed", f"{len(missing)} tables are missing", advice)
    if not is_here:
        return Finding("migrations", "not here", "every table is there; the head is not known here")
    from migrations import current_revision, head_revision  # noqa: PLC0415  # may be missing

    current, head = current_revision(engine), head_revision()
    if current == head:
        return Finding("migrations", "ok", f"at the head, {head}")
    detail = f"the database is at {current or 'no revision'}, this release at {head}"
    return Finding("migrations", "failed", detail, advice)


def _migrated_elsewhere(engine: Engine) -> Finding | None:
    """Judge a database that a newer release has migrated, as after code was rolled back alone."""
    from migrations import current_revision, is_known, unmet_needs  # noqa: PLC0415  # the same

    current = current_revision(engine)
    if current is None or is_known(current):
        return None
    with engine.connect() as connection:
        unmet = unmet_needs(connection)
    detail = f"the database is at {current}, of a newer release"
    if unmet:
        return Finding(
            "migrations",
            "failed",
            f"{detail}: {'; '.join(unmet)}",
            "Start that release, which alone can undo its migrations, or restore a backup.",
        )
    return Finding(
        "migrations",
        "warning",
        f"{detail}; this one works on it",
        "Right after code was rolled back alone. Start the newer release again when you can.",
    )


def _clock(skew_seconds: float) -> Finding:
    if skew_seconds <= _SKEW_SECONDS:
        return Finding("clock", "ok", f"{skew_seconds:.1f} s from the database's")
    return Finding(
        "clock",
        "warning",
        f"{skew_seconds:.0f} s from the database's",
        "Leases use the database's clock; signed links and certificates do not. Use NTP on both.",
    )


def _workers(count: int, lease_seconds: float) -> Finding:
    detail = f"{count} seen within {lease_seconds:.0f} s"
    if count:
        return Finding("workers", "ok", detail)
    return Finding("workers", "failed", detail, "Start one, or see in its log why it does not.")
