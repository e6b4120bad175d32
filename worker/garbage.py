"""One round of collecting: what is old enough is forgotten, what is referred to by none deleted.

A round is many short transactions and may end between any two of them: the next round goes on.
Two at once do no harm, only the same work.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.orm import Session

from kdstore import condemned, retention
from kdstore.db import SessionFactory, now, reading, transaction
from kdstore.objects import ObjectStore
from kdstore.references import is_ours, orphans_among
from kdstore.settings import Settings

_AT_ONCE = 100
_MOST_CONDEMNED = 10_000
_CLOSED_UPLOADS_SECONDS = _WORKERS_SECONDS = 7 * 24 * 3600
# A write at work grows more often than that, however slow its sender is.
_LONGEST_PAUSE_SECONDS = 3600


@dataclass(frozen=True)
class Collected:
    """What a round did, or would do: ids of jobs and uploads, workers' names, keys of objects."""

    checkpoints_of: tuple[str, ...]
    artifacts_of: tuple[str, ...]
    history_of: tuple[str, ...]
    jobs: tuple[str, ...]
    uploads: tuple[str, ...]
    closed_uploads: tuple[str, ...]
    workers: tuple[str, ...]
    unfinished: tuple[str, ...]
    condemned: tuple[str, ...]
    deleted: tuple[str, ...]


@dataclass(frozen=True)
class Collector:
    """Does rounds. With `is_dry_run` everything is rolled back, and no object deleted."""

    session_factory: SessionFactory
    objects: ObjectStore
    settings: Settings
    should_stop: Callable[[], bool]
    is_dry_run: bool = False

    def collect(self) -> Collected:
        """Do one round.

        Raises:
            StorageError: object storage is away; what was done stays done.
        """
        keep = self.settings
        return Collected(
            checkpoints_of=self._forget(
                retention.forget_checkpoints, keep.keep_checkpoints_seconds
            ),
            artifacts_of=self._forget(retention.forget_artifacts, keep.keep_artifacts_seconds),
            history_of=self._forget(retention.forget_history, keep.keep_history_seconds),
            jobs=self._forget(retention.forget_jobs, keep.keep_jobs_seconds),
            uploads=self._forget(retention.forget_unused_uploads, keep.keep_unused_uploads_seconds),
            closed_uploads=self._forget(retention.forget_closed_uploads, _CLOSED_UPLOADS_SECONDS),
            workers=self._forget(retention.forget_workers, _WORKERS_SECONDS),
            unfinished=self._drop_unfinished(),
            condemned=self._condemn(),
            deleted=self._delete(),
        )

    def _forget(self, forget: retention.Forget, keep_seconds: int) -> tuple[str, ...]:
        forgotten: list[str] = []
        limit = _MOST_CONDEMNED if self.is_dry_run else _AT_ONCE
        while keep_seconds > 0 and not self.should_stop():
            with self._writing() as session:
                found = forget(session, older_than_seconds=keep_seconds, limit=limit)
            forgotten += found
            if self.is_dry_run or len(found) < limit:
                break
        return tuple(forgotten)

    def _drop_unfinished(self) -> tuple[str, ...]:
        """Delete what killed processes have left of their writes into a local folder."""
        grace_seconds = max(self.settings.orphan_grace_seconds, _LONGEST_PAUSE_SECONDS)
        with reading(self.session_factory) as session:
            oldest = now(session) - timedelta(seconds=grace_seconds)
        dropped: list[str] = []
        for write in self.objects.unfinished_writes():
            if self.should_stop():
                break
            if write.modified_at <= oldest and is_ours(write.key):
                if not self.is_dry_run:
                    self.objects.drop_unfinished(write)
                dropped.append(write.key)
        return tuple(dropped)

    def _condemn(self) -> tuple[str, ...]:
        """Look through all of storage for orphans that are not new."""
        with reading(self.session_factory) as session:
            oldest = now(session) - timedelta(seconds=self.settings.orphan_grace_seconds)
        found: list[str] = []
        for batch in self.objects.list_objects():
            if self.should_stop() or len(found) >= _MOST_CONDEMNED:
                break
            keys = [listed.key for listed in batch if listed.modified_at <= oldest]
            with reading(self.session_factory) as session:
                orphans = orphans_among(session, keys)
            if orphans:  # rarely; only then does anybody wait
                with self._writing() as session:
                    found += condemned.condemn_orphans(session, orphans)
        return tuple(found)

    def _delete(self) -> tuple[str, ...]:
        deleted: list[str] = []
        grace_seconds = self.settings.orphan_grace_seconds
        limit = _MOST_CONDEMNED if self.is_dry_run else _AT_ONCE
        while not self.should_stop():
            with self._writing() as session:
                keys = condemned.due(session, grace_seconds=grace_seconds, limit=limit)
            deleted += keys
            if self.is_dry_run or not keys:
                break
            for key in keys:
                self.objects.delete(key)
            with self._writing() as session:
                condemned.deleted(session, keys)
        return tuple(deleted)

    @contextmanager
    def _writing(self) -> Iterator[Session]:
        with transaction(self.session_factory) as session:
            yield session
            if self.is_dry_run:
                session.rollback()
