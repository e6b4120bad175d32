"""A job as it runs: a live stream that survives broken lines, or polling where streams cannot."""

import math
import time
from collections.abc import Iterator

import httpx
from pydantic import ValidationError

from kdclient.errors import ApiProblem, UnexpectedAnswer
from kdclient.resources import ENDED, Job, JobEvent, JobProgress, Page
from kdclient.retries import BUSY_STATUSES
from kdclient.server_sent_events import ServerSentEvent, parse_events
from kdclient.transport import Call, Transport

_EVENT_STREAM = "text/event-stream"
_SILENCE_SECONDS = 60.0
_HEARTBEATS_PER_SILENCE = 4  # at least; so often the service sends something
_POLL_SECONDS = 1.0

Told = JobEvent | JobProgress


def watch_job(transport: Transport, job_id: str, *, until: float = math.inf) -> Iterator[Job]:
    """Give the job now, and each time something about it changes, until it has ended.

    At `until`, of `time.monotonic()`, it is given as it then is, and that is all.
    """
    # Read before the job: what the job does not show yet has a higher number.
    after = _newest_event(transport, job_id)
    job = _read_job(transport, job_id)
    yield job
    has_just_been_read = True
    while not job.has_ended and time.monotonic() < until:
        for told in follow(transport, job_id, after=after, until=until):
            if isinstance(told, JobProgress):
                # Sent together with the event that made us read the job, it is the older one.
                is_old = has_just_been_read and _is_behind(told, job.progress)
                has_just_been_read = False
                if is_old:
                    continue
                job = job.model_copy(update={"progress": told})
            else:
                after = told.number
                job = _read_job(transport, job_id)
                has_just_been_read = True
            yield job
            if job.has_ended:
                return
        # It had ended, and was asked to go on since; or the time is up.
        job = _read_job(transport, job_id)
        yield job


def _is_behind(progress: JobProgress, other: JobProgress | None) -> bool:
    return other is not None and progress.fraction < other.fraction


def follow_events(transport: Transport, job_id: str, *, after: int) -> Iterator[JobEvent]:
    """Give events numbered above `after` as they happen, until the job has ended."""
    for told in follow(transport, job_id, after=after):
        if isinstance(told, JobEvent):
            yield told


def follow(
    transport: Transport,
    job_id: str,
    *,
    after: int,
    until: float = math.inf,
    silence_seconds: float = _SILENCE_SECONDS,
) -> Iterator[Told]:
    """Give events numbered above `after`, each once and in order, and progress between them.

    A stream that breaks is opened again with Last-Event-ID. Where something in between does not
    let streams through (nothing at all comes for `silence_seconds`, twice, or they keep breaking
    before their first line), the service is asked every second instead. So it is shortly before
    `until`, of `time.monotonic()`, when all of this ends: a silent stream would be heard too late.

    Raises:
        ConnectionFailed: the service stays away.
        ApiProblem, UnexpectedAnswer: as `Transport.send`.
    """
    stream = _Stream(transport, job_id, after=after, until=until, silence_seconds=silence_seconds)
    while not stream.is_over and stream.is_let_through and stream.seconds_left > 0:
        yield from stream.listen()
    if not stream.is_over:
        yield from _poll(transport, job_id, after=stream.after, until=until)


class _Stream:
    """The live stream of one job, over any number of connections."""

    def __init__(
        self,
        transport: Transport,
        job_id: str,
        *,
        after: int,
        until: float,
        silence_seconds: float,
    ) -> None:
        self.after = after
        self.is_over = False
        self.is_let_through = True
        self._transport = transport
        self._job_id = job_id
        self._silence_seconds = silence_seconds
        self._heartbeat_seconds = silence_seconds / _HEARTBEATS_PER_SILENCE
        self._until = until - self._heartbeat_seconds
        self._failures = 0
        self._silences = 0

    @property
    def seconds_left(self) -> float:
        """Seconds until a heartbeat might come too late to notice the end."""
        return self._until - time.monotonic()

    def listen(self) -> Iterator[Told]:
        """Give what one connection tells, until it ends; then wait before the next."""
        try:
            yield from self._connect()
        except httpx.ReadTimeout:
            self._silences += 1
            self._failed()
        except httpx.TransportError:
            self._failed()
        except ApiProblem as problem:
            if problem.status not in BUSY_STATUSES:
                raise
            self._failed()
        else:
            if not self.is_over and self.is_let_through:
                self._failed()

    def _connect(self) -> Iterator[Told]:
        headers = {"Accept": _EVENT_STREAM, "Last-Event-ID": str(self.after)}
        url = f"v1/jobs/{self._job_id}/events"
        read_seconds = max(self._heartbeat_seconds, min(self._silence_seconds, self.seconds_left))
        timeout = httpx.Timeout(10.0, read=read_seconds)
        call = Call("GET", url, headers=headers, timeout=timeout)
        with self._transport.open(call) as response:
            if response.status_code == httpx.codes.NO_CONTENT:
                self.is_over = True
                return
            media_type = response.headers.get("Content-Type", "")
            self.is_let_through = media_type.startswith(_EVENT_STREAM)
            if not self.is_let_through:
                return
            for told in map(_told, parse_events(self._heard(response.iter_lines()))):
                if isinstance(told, JobEvent):
                    self.after = told.number
                    self.is_over = told.to_status in ENDED
                yield told

    def _heard(self, lines: Iterator[str]) -> Iterator[str]:
        """Pass lines on; each, a heartbeat too, says that streams do come through."""
        for line in lines:
            self._failures = self._silences = 0
            yield line
            if self.seconds_left <= 0:
                return

    def _failed(self) -> None:
        self._failures += 1
        # Whether the service is away, or streams alone break, shows when it is polled.
        self.is_let_through = self._silences < 2 and self._transport.pause(self._failures)


def _poll(transport: Transport, job_id: str, *, after: int, until: float) -> Iterator[Told]:
    progress = None
    while True:
        job = _read_job(transport, job_id)
        for event in _events_after(transport, job_id, after):
            after = event.number
            yield event
        if job.has_ended:
            return
        if job.progress is not None and job.progress != progress:
            progress = job.progress
            yield progress
        seconds_left = until - time.monotonic()
        if seconds_left <= 0:
            return
        transport.sleep(min(_POLL_SECONDS, seconds_left))


def _told(message: ServerSentEvent) -> Told:
    answer = JobProgress if message.event == "progress" else JobEvent
    try:
        return answer.model_validate_json(message.data)
    except ValidationError:
        raise UnexpectedAnswer(
            "the event stream", 200, f"{message.event!r} has not the fields that it should"
        ) from None


def _newest_event(transport: Transport, job_id: str) -> int:
    newest = 0
    for event in _events_after(transport, job_id, 0):
        newest = event.number
    return newest


def _events_after(transport: Transport, job_id: str, after: int) -> Iterator[JobEvent]:
    cursor: str | None = str(after)
    while cursor is not None:
        call = Call("GET", f"v1/jobs/{job_id}/events", params={"cursor": cursor})
        page = transport.read(call, Page[JobEvent])
        yield from page.items
        cursor = page.next_cursor


def _read_job(transport: Transport, job_id: str) -> Job:
    return transport.read(Call("GET", f"v1/jobs/{job_id}"), Job)
