"""What routes ask for: who calls, and one transaction that is committed before the answer."""

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Final

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.orm import Session
from starlette.requests import Request

from api.errors import KeyMissing, RoleTooLow
from api.state import AppState, state_of
from kdstore import keys
from kdstore.db import reading, transaction
from kdstore.errors import QueueUnavailable
from kdstore.keys import Principal
from kdstore.queue import TRAIN_JOB, publish
from kdstore.tables import Role
from kdstore.tracing import Span, Tracing, below, root_of

_LOG = logging.getLogger("potstill.api")
_RANK: Final[dict[Role, int]] = {"viewer": 0, "member": 1, "admin": 2}
_MAX_TOKEN = 256

_BEARER = HTTPBearer(auto_error=False, scheme_name="key", description="An API key: `potstill_…`.")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]


@dataclass(frozen=True)
class Reader:
    """Who asks, and a session in which nothing can be written."""

    session: Session
    principal: Principal

    @property
    def workspace_id(self) -> str:
        """The workspace that every query is limited to."""
        return self.principal.workspace_id


@dataclass(frozen=True)
class Message:
    """A task, the id of what it is about, and a queue if not the task's own.

    `begins_trace` says that the request has made what it is about.
    """

    task: str
    subject_id: str
    queue: str | None
    begins_trace: bool


@dataclass(frozen=True)
class Writer:
    """Who asks, and the one transaction of this request."""

    session: Session
    principal: Principal
    request_id: str
    _messages: list[Message] = field(default_factory=list)

    @property
    def workspace_id(self) -> str:
        """The workspace that every query is limited to."""
        return self.principal.workspace_id

    def publish(
        self, task: str, subject_id: str, queue: str | None = None, *, begins_trace: bool = False
    ) -> None:
        """Send this message once the transaction is committed; never if it is rolled back.

        `begins_trace`: what is sent was made by this request, and its trace begins with it.
        """
        self._messages.append(Message(task, subject_id, queue, begins_trace))


def get_reader(request: Request, credentials: Credentials) -> Iterator[Reader]:
    """Open a reading transaction for a caller of any role."""
    with reading(state_of(request).session_factory) as session:
        principal = _identify(session, request, credentials)
        yield Reader(session=session, principal=principal)


opened_reader = contextmanager(get_reader)
"""Do as `get_reader` within a route: one step on one thread, for what is asked for most often.

Also where an object is read afterwards, which may take long: no transaction is open meanwhile.
"""


def get_viewer(request: Request, credentials: Credentials) -> Principal:
    """Tell who calls, of any role; for routes with transactions of their own."""
    with reading(state_of(request).session_factory) as session:
        return _identify(session, request, credentials)


def get_member(request: Request, credentials: Credentials) -> Principal:
    """Tell who calls, if they may write; for routes with transactions of their own."""
    with reading(state_of(request).session_factory) as session:
        principal = _identify(session, request, credentials)
    _require(principal, "member")
    return principal


def get_writer(
    request: Request, principal: Annotated[Principal, Depends(get_member)]
) -> Iterator[Writer]:
    """Open the request's transaction; commit it, then publish, before the answer is sent.

    The caller is identified before, so that strangers never take SQLite's one write lock.
    """
    state = state_of(request)
    messages: list[Message] = []
    with transaction(state.session_factory) as session:
        yield Writer(session, principal, request.state.request_id, messages)
    _publish(state, messages)


def _identify(
    session: Session, request: Request, credentials: HTTPAuthorizationCredentials | None
) -> Principal:
    if credentials is None or not credentials.credentials:
        raise KeyMissing
    principal = keys.verify(session, credentials.credentials[:_MAX_TOKEN])
    request.state.workspace_id = principal.workspace_id
    request.state.key_id = principal.key_id
    return principal


def _require(principal: Principal, needed: Role) -> None:
    if _RANK[principal.role] < _RANK[needed]:
        raise RoleTooLow(role=principal.role, needed=needed)


def _publish(state: AppState, messages: list[Message]) -> None:
    for message in messages:
        facts = {"task": message.task, "subject_id": message.subject_id}
        with _queueing(state.tracing, message) as span:
            try:
                publish(state.queue, message.task, message.subject_id, queue=message.queue)
                # Links the request's id with that of what it asked for.
                _LOG.info("published", extra=facts)
            except QueueUnavailable:
                # The row is the truth: the sweeper finds it and publishes again.
                _LOG.warning("not published", extra=facts)
                span.fail("queue unavailable")


def _queueing(tracing: Tracing, message: Message) -> AbstractContextManager[Span]:
    """Tell that something is queued: a job's trace begins with it, and goes on with a retry."""
    subject_id = message.subject_id
    if message.task != TRAIN_JOB:
        return tracing.span("queue validation", kind="producer", subject_id=subject_id)
    if message.begins_trace:
        place, name = root_of(subject_id), "submit job"
    else:
        place, name = below(subject_id), "queue job again"
    return tracing.span(name, place=place, kind="producer", job_id=subject_id)


# A request holds its connection while it waits for a thread, and others hold a thread while they
# wait for a connection. Fewer such requests than connections (30 on PostgreSQL), or they would
# wait for one another.
_MAX_READERS = 16
_MAX_WRITERS = 8
# While object storage is slow or away, who waits for it must leave threads (40) to all others.
_MAX_IN_STORAGE = 16

ReaderDependency = Annotated[
    Reader, Depends(get_reader, scope="function", max_concurrency=_MAX_READERS)
]
WriterDependency = Annotated[
    Writer, Depends(get_writer, scope="function", max_concurrency=_MAX_WRITERS)
]


def get_turn() -> Iterator[None]:
    """Take a turn among those who wait for object storage."""
    yield


STORAGE_TURN: Final = Depends(get_turn, scope="function", max_concurrency=_MAX_IN_STORAGE)
"""For routes that read an object; they hold no transaction while they do: see `opened_reader`."""
ViewerDependency = Annotated[Principal, Depends(get_viewer)]
MemberDependency = Annotated[Principal, Depends(get_member)]


def get_admin_reader(reader: ReaderDependency) -> Reader:
    """Let only admins read."""
    _require(reader.principal, "admin")
    return reader


def get_admin_writer(writer: WriterDependency) -> Writer:
    """Let only admins write."""
    _require(writer.principal, "admin")
    return writer


AdminReaderDependency = Annotated[Reader, Depends(get_admin_reader, scope="function")]
AdminWriterDependency = Annotated[Writer, Depends(get_admin_writer, scope="function")]
