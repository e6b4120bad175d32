"""Which objects in storage anything still refers to, or may yet come to refer to.

A key says whose object it is. Three kinds are known, and nothing else is ever called an orphan:

- `uploads/<upload>/…`, parts: needed while the upload is pending. A closed one never reopens.
- `jobs/<job>/{artifacts,checkpoints}/<attempt>…`: needed while a row refers to it, or the attempt
  owns its job and may yet write that row. An attempt that lost its job never owns it again.
- `blobs/…`, `datasets/…`, `models/…`, named by content: needed while a row refers to it. Another
  row may come to refer to it any time; `kdstore.condemned` has the say then.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from kdstore.tables import Artifact, Checkpoint, Dataset, Job, Model, Upload
from kdstore.transitions import OWNED

_PART = re.compile(r"uploads/(?P<upload>[^/]+)/.+")
_OF_ATTEMPT = re.compile(r"jobs/(?P<job>[^/]+)/(?:artifacts/(?P<a>\d+)/|checkpoints/(?P<c>\d+)-).+")
_CONTENT = re.compile(r"(?:blobs|datasets|models)/[0-9a-f]{64}[^/]*")

_KEY_COLUMNS = (Upload.object_key, Model.object_key, Artifact.object_key, Checkpoint.object_key)
_KEY_LISTS = (Dataset.files, Dataset.thumbnails)


def is_content(key: str) -> bool:
    """Tell whether an object is named by its content, so that several rows may refer to it."""
    return _CONTENT.fullmatch(key) is not None


def is_ours(key: str) -> bool:
    """Tell whether an object has a name of one of the three kinds: others are never touched."""
    return any(pattern.fullmatch(key) for pattern in (_PART, _OF_ATTEMPT, _CONTENT))


def orphans_among(session: Session, keys: Sequence[str]) -> list[str]:
    """Find those of `keys` that nothing refers to, in their order; a few hundred at once."""
    known = [key for key in keys if is_ours(key)]
    if not known:
        return []
    kept = _referred(session, known) | _of_pending_uploads(session, known)
    kept |= _of_owning_attempts(session, known)
    return [key for key in known if key not in kept]


def _referred(session: Session, keys: Sequence[str]) -> set[str]:
    referred: set[str] = set()
    for column in _KEY_COLUMNS:
        found = session.scalars(select(column).where(column.in_(keys)))
        referred.update(key for key in found if key is not None)
    content = [key for key in keys if is_content(key)]
    for listed in _KEY_LISTS if content else ():
        referred.update(session.scalars(_keys_within(session, listed, content)))
    return referred


def _keys_within(
    session: Session, listed: InstrumentedAttribute[Any], keys: Sequence[str]
) -> Select[str]:
    """Select which of `keys` occur in a column of lists of {object_key, …}."""
    key: ColumnElement[str]
    if session.get_bind().dialect.name == "sqlite":
        element = func.json_each(listed).table_valued("value", joins_implicitly=True)
        key = func.json_extract(element.c.value, "$.object_key")
    else:
        element = func.json_array_elements(listed).table_valued("value", joins_implicitly=True)
        key = element.c.value.op("->>")("object_key")
    # The table first: PostgreSQL hands its rows to the function that stands after it.
    rows = select(key).select_from(Dataset, element)
    return rows.where(listed.is_not(None), key.in_(keys))


def _of_pending_uploads(session: Session, keys: Sequence[str]) -> set[str]:
    owners = dict(_owners(_PART, keys))
    pending = set(
        session.scalars(
            select(Upload.id).where(
                Upload.id.in_({match["upload"] for match in owners.values()}),
                Upload.status == "pending",
            )
        )
    )
    return {key for key, match in owners.items() if match["upload"] in pending}


def _of_owning_attempts(session: Session, keys: Sequence[str]) -> set[str]:
    owners = dict(_owners(_OF_ATTEMPT, keys))
    rows = session.execute(
        select(Job.id, Job.attempt_number).where(
            Job.id.in_({match["job"] for match in owners.values()}), Job.status.in_(OWNED)
        )
    )
    owning = {(job_id, attempt) for job_id, attempt in rows}
    return {
        key
        for key, match in owners.items()
        if (match["job"], int(match["a"] or match["c"])) in owning
    }


def _owners(pattern: re.Pattern[str], keys: Iterable[str]) -> Iterator[tuple[str, re.Match[str]]]:
    for key in keys:
        match = pattern.fullmatch(key)
        if match is not None:
            yield key, match
