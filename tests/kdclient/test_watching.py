"""A job is followed to its end, each event once, whatever happens to the line."""

import time

import pytest

from kdclient import Potstill
from kdclient.errors import (
    ApiProblem,
    ConnectionFailed,
    JobCancelled,
    JobFailed,
    UnexpectedAnswer,
    WaitTimedOut,
)
from kdclient.resources import JobEvent
from kdclient.transport import Transport
from kdclient.watching import follow
from kdcore.spec import Mlp, TrainJob
from kdstore import jobs, workspaces
from kdstore.db import SessionFactory, transaction
from tests.kdclient.job_documents import (
    EVENTS_URL,
    JOB_URL,
    job_document,
    progress_document,
    stage_event,
    status_event,
    stream_reply,
)
from tests.kdclient.scripted_server import (
    Reply,
    ScriptedServer,
    hang_up,
    json_reply,
    problem_reply,
)

OVER = Reply(204)


class TestEvents:
    def test_broken_stream_goes_on_after_the_last_event(
        self, scripted: ScriptedServer, client: Potstill
    ) -> None:
        scripted.on(
            "GET",
            EVENTS_URL,
            stream_reply(stage_event(1, "preparing"), stage_event(2, "training"), is_cut=True),
            stream_reply(status_event(3, "succeeded")),
        )
        assert [event.number for event in client.events("job_1")] == [1, 2, 3]
        asked = scripted.asked_for("GET", EVENTS_URL)
        assert [each.headers["last-event-id"] for each in asked] == ["0", "2"]
        assert asked[0].headers["accept"] == "text/event-stream"

    def test_stream_that_a_restarting_service_ends_is_opened_again(
        self, scripted: ScriptedServer, client: Potstill
    ) -> None:
        scripted.on(
            "GET",
            EVENTS_URL,
            stream_reply(stage_event(1, "training")),
            problem_reply(503, "database_unavailable"),
            stream_reply(stage_event(2, "evaluating")),
            OVER,
        )
        assert [event.number for event in client.events("job_1")] == [1, 2]

    def test_ended_job_with_nothing_new_ends_at_once(
        self, scripted: ScriptedServer, client: Potstill
    ) -> None:
        scripted.on("GET", EVENTS_URL, OVER)
        assert list(client.events("job_1", after=7)) == []
        assert scripted.asked[0].headers["last-event-id"] == "7"

    def test_where_streams_are_not_let_through_the_service_is_polled(
        self, scripted: ScriptedServer, client: Potstill, naps: list[float]
    ) -> None:
        page = {"items": [stage_event(1, "training")], "next_cursor": None}
        last = {"items": [status_event(2, "succeeded")], "next_cursor": None}
        scripted.on("GET", EVENTS_URL, json_reply(page), json_reply(page), json_reply(last))
        scripted.on(
            "GET", JOB_URL, json_reply(job_document()), json_reply(job_document("succeeded"))
        )
        assert [event.number for event in client.events("job_1")] == [1, 2]
        assert naps == [1.0]

    def test_stream_that_stays_silent_twice_is_given_up_for_polling(
        self, scripted: ScriptedServer, transport: Transport
    ) -> None:
        silent = Reply(
            body=b"never sent",
            headers={"Content-Type": "text/event-stream"},
            cut_after=0,
            holds=True,
        )
        page = {"items": [status_event(1, "succeeded")], "next_cursor": None}
        scripted.on("GET", EVENTS_URL, silent, silent, json_reply(page))
        scripted.on("GET", JOB_URL, json_reply(job_document("succeeded")))
        told = list(follow(transport, "job_1", after=0, silence_seconds=0.05))
        assert [event.number for event in told if isinstance(event, JobEvent)] == [1]

    def test_stream_of_something_else_is_not_taken_for_ours(
        self, scripted: ScriptedServer, client: Potstill
    ) -> None:
        other = Reply(body=b"data: hello\n\n", headers={"Content-Type": "text/event-stream"})
        scripted.on("GET", EVENTS_URL, other)
        with pytest.raises(UnexpectedAnswer):
            list(client.events("job_1"))

    def test_silent_job_is_followed_over_any_number_of_streams_that_a_proxy_ends(
        self, scripted: ScriptedServer, client: Potstill, naps: list[float]
    ) -> None:
        only_heartbeats = [stream_reply(), stream_reply(is_cut=True)] * 5
        scripted.on("GET", EVENTS_URL, *only_heartbeats, stream_reply(status_event(1, "succeeded")))
        assert [event.number for event in client.events("job_1")] == [1]
        assert naps == [1.0] * 10  # each is the first failure in a row

    def test_streams_that_end_before_their_first_line_are_given_up_for_polling(
        self, scripted: ScriptedServer, client: Potstill
    ) -> None:
        nothing = Reply(headers={"Content-Type": "text/event-stream"})
        page = {"items": [status_event(1, "succeeded")], "next_cursor": None}
        scripted.on("GET", EVENTS_URL, *[nothing] * 4, json_reply(page))
        scripted.on("GET", JOB_URL, json_reply(job_document("succeeded")))
        assert [event.number for event in client.events("job_1")] == [1]

    def test_service_that_stays_away_is_given_up(
        self, scripted: ScriptedServer, client: Potstill
    ) -> None:
        scripted.on("GET", EVENTS_URL, stream_reply(stage_event(1, "training")), hang_up())
        with pytest.raises(ConnectionFailed):
            list(client.events("job_1"))

    def test_unknown_job_is_refused_at_once(
        self, scripted: ScriptedServer, client: Potstill
    ) -> None:
        scripted.on("GET", EVENTS_URL, problem_reply(404, "job_not_found"))
        with pytest.raises(ApiProblem, match="job_not_found"):
            list(client.events("job_1"))
        assert len(scripted.asked) == 1


class TestWatch:
    def test_progress_between_events_shows_on_the_job(
        self, scripted: ScriptedServer, client: Potstill
    ) -> None:
        nothing_yet = json_reply({"items": [], "next_cursor": None})
        scripted.on(
            "GET",
            EVENTS_URL,
            nothing_yet,
            stream_reply(
                progress_document(0.25), progress_document(0.5), status_event(1, "succeeded")
            ),
        )
        scripted.on(
            "GET", JOB_URL, json_reply(job_document()), json_reply(job_document("succeeded"))
        )
        seen = list(client.watch("job_1"))
        fractions = [job.progress.fraction if job.progress else None for job in seen]
        assert fractions == [None, 0.25, 0.5, None]
        assert [job.status for job in seen] == ["running", "running", "running", "succeeded"]

    def test_progress_sent_with_an_event_does_not_undo_what_was_read_because_of_it(
        self, scripted: ScriptedServer, client: Potstill
    ) -> None:
        scripted.on(
            "GET",
            EVENTS_URL,
            json_reply({"items": [], "next_cursor": None}),
            stream_reply(
                stage_event(1, "control"),
                progress_document(0.3),
                progress_document(0.2),  # a new attempt, from an older checkpoint
                status_event(2, "succeeded"),
            ),
        )
        scripted.on(
            "GET",
            JOB_URL,
            json_reply(job_document()),
            json_reply(job_document(progress=progress_document(0.5))),
            json_reply(job_document("succeeded")),
        )
        seen = [job.progress.fraction for job in client.watch("job_1") if job.progress]
        assert seen == [0.5, 0.2]

    def test_what_the_job_shows_already_is_not_told_again(
        self, scripted: ScriptedServer, client: Potstill
    ) -> None:
        old = json_reply({"items": [stage_event(4, "training")], "next_cursor": None})
        scripted.on("GET", EVENTS_URL, old, OVER)
        scripted.on(
            "GET", JOB_URL, json_reply(job_document()), json_reply(job_document("succeeded"))
        )
        list(client.watch("job_1"))
        assert scripted.asked_for("GET", EVENTS_URL)[1].headers["last-event-id"] == "4"

    def test_ended_job_is_given_once(self, scripted: ScriptedServer, client: Potstill) -> None:
        scripted.on("GET", EVENTS_URL, json_reply({"items": [], "next_cursor": None}))
        scripted.on("GET", JOB_URL, json_reply(job_document("succeeded")))
        assert [job.status for job in client.watch("job_1")] == ["succeeded"]


class TestWaitForJob:
    def test_failed_job_raises_with_its_cause(
        self, scripted: ScriptedServer, client: Potstill
    ) -> None:
        error = {"code": "diverged", "message": "The loss is NaN.", "fault": "user"}
        scripted.on("GET", EVENTS_URL, json_reply({"items": [], "next_cursor": None}))
        scripted.on("GET", JOB_URL, json_reply(job_document("failed", error=error)))
        with pytest.raises(JobFailed, match=r"The loss is NaN\.") as caught:
            client.wait_for_job("job_1")
        assert (caught.value.code, caught.value.fault) == ("diverged", "user")

    def test_cancelled_job_raises(self, scripted: ScriptedServer, client: Potstill) -> None:
        scripted.on("GET", EVENTS_URL, json_reply({"items": [], "next_cursor": None}))
        scripted.on("GET", JOB_URL, json_reply(job_document("cancelled")))
        with pytest.raises(JobCancelled, match="potstill retry job_1"):
            client.wait_for_job("job_1")

    def test_waiting_ends_when_the_time_is_up(
        self, scripted: ScriptedServer, client: Potstill
    ) -> None:
        scripted.on("GET", EVENTS_URL, json_reply({"items": [], "next_cursor": None}))
        scripted.on("GET", JOB_URL, json_reply(job_document()))
        with pytest.raises(WaitTimedOut, match="still running"):
            client.wait_for_job("job_1", timeout_seconds=0.0)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
class TestSilentJob:
    """Of the real service, which has no worker here: the stream has heartbeats and nothing else."""

    @pytest.fixture
    def job_id(self, session_factory: SessionFactory) -> str:
        with transaction(session_factory) as session:
            workspace = workspaces.ensure(session, name="ours")
            spec = TrainJob(dataset="digits", network=Mlp(hidden=(8,)))
            return jobs.create(session, workspace_id=workspace.id, spec=spec).id

    def test_waiting_ends_when_the_time_is_up(self, potstill: Potstill, job_id: str) -> None:
        with pytest.raises(WaitTimedOut, match="still queued") as caught:
            potstill.wait_for_job(job_id, timeout_seconds=0.2)
        assert caught.value.waited_seconds >= 0.2

    @pytest.mark.parametrize("silence_seconds", [0.4, 60.0])  # streamed at first, polled at once
    def test_following_ends_when_the_time_is_up(
        self, potstill: Potstill, job_id: str, silence_seconds: float
    ) -> None:
        told = follow(
            potstill._transport,
            job_id,
            after=0,
            until=time.monotonic() + 0.5,
            silence_seconds=silence_seconds,
        )
        assert [type(each) for each in told] == [JobEvent]  # it was created
