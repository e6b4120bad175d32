"""Every resource through the client: against the real API, or a script of what it answers."""

import itertools
import json
from pathlib import Path

import pytest

from kdclient import ApiProblem, Potstill, ResourceRejected, WaitTimedOut
from kdcore.spec import ImageInput, Mlp, parse_job
from tests.kdclient.job_documents import JOB_URL, Json, job_document, progress_document
from tests.kdclient.reports import distill_report
from tests.kdclient.scripted_server import ScriptedServer, json_reply, problem_reply

TRAIN_SPEC: Json = {
    "kind": "train",
    "dataset": "digits",
    "network": {"architecture": "mlp", "hidden": [8]},
}

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@on_sqlite
class TestAgainstTheService:
    def test_builtin_dataset_is_listed(self, potstill: Potstill) -> None:
        [digits] = [each for each in potstill.datasets() if each.builtin]
        assert (digits.id, digits.status) == ("digits", "validating")
        assert potstill.dataset("digits").id == "digits"

    def test_uploaded_checkpoint_becomes_a_model(self, potstill: Potstill, tmp_path: Path) -> None:
        (tmp_path / "teacher.pth").write_bytes(b"weights")
        upload = potstill.upload(tmp_path / "teacher.pth", "checkpoint")
        model = potstill.create_model(
            "a teacher",
            upload_id=upload.id,
            architecture=Mlp(hidden=(8,)),
            image_input=ImageInput(channels=1, height=8, width=8),
            class_names=["a", "b"],
        )
        assert potstill.model(model.id) == model
        assert (model.status, model.upload_id) == ("validating", upload.id)
        assert model.architecture is not None
        assert model.architecture["hidden"] == [8]
        assert [each.id for each in potstill.models()] == [model.id]

    def test_uploaded_zip_becomes_a_dataset(self, potstill: Potstill, tmp_path: Path) -> None:
        (tmp_path / "images.zip").write_bytes(b"images")
        upload = potstill.upload(tmp_path / "images.zip", "dataset")
        dataset = potstill.create_dataset(
            "images", upload_id=upload.id, format="npz", class_names=["a", "b"]
        )
        assert dataset.class_names == ("a", "b")

    def test_job_on_a_dataset_that_is_not_ready_names_the_field(self, potstill: Potstill) -> None:
        with pytest.raises(ApiProblem) as caught:
            potstill.create_job(parse_job(TRAIN_SPEC))
        assert caught.value.code == "dataset_not_ready"
        assert caught.value.errors[0].pointer == "/dataset"

    def test_wrong_spec_is_refused_with_a_pointer(self, potstill: Potstill) -> None:
        with pytest.raises(ApiProblem) as caught:
            potstill.validate_job(TRAIN_SPEC | {"dataet": "digits"})
        assert caught.value.errors[0].pointer == "/dataet"
        assert caught.value.request_id is not None

    def test_keys_are_made_listed_and_revoked(self, potstill: Potstill, api_url: str) -> None:
        key = potstill.create_key("scripts", role="member")
        assert key.token is not None
        with Potstill(api_url, key.token) as member:
            assert list(member.jobs()) == []
            potstill.revoke_key(key.id)
            with pytest.raises(ApiProblem, match="key_invalid"):
                list(member.jobs())
        listed = list(potstill.keys())
        revoked = next(each for each in listed if each.id == key.id)
        assert revoked.revoked_at is not None
        assert revoked.token is None

    def test_long_list_is_read_page_by_page_as_it_is_consumed(self, potstill: Potstill) -> None:
        made = [potstill.create_key(f"key {number}", role="viewer").id for number in range(103)]
        keys = potstill.keys()
        assert [key.id for key in itertools.islice(keys, 103)] == made[::-1]

    def test_unknown_job_is_an_api_problem(self, potstill: Potstill) -> None:
        for ask in (potstill.job, potstill.cancel, potstill.report, potstill.artifacts):
            with pytest.raises(ApiProblem, match="job_not_found"):
                ask("job_0000000000000000000000")


class TestJobs:
    def test_creation_carries_an_idempotency_key_of_its_own(
        self, scripted: ScriptedServer, client: Potstill
    ) -> None:
        scripted.on("POST", "/v1/jobs", json_reply(job_document("queued"), 201))
        client.create_job(TRAIN_SPEC)
        client.create_job(TRAIN_SPEC)
        first, second = scripted.asked
        assert json.loads(first.body) == TRAIN_SPEC
        assert first.headers["idempotency-key"] != second.headers["idempotency-key"]

    @pytest.mark.parametrize("transition", ["cancel", "pause", "resume", "retry"])
    def test_transitions_are_asked_for_by_name(
        self, scripted: ScriptedServer, client: Potstill, transition: str
    ) -> None:
        scripted.on("POST", f"{JOB_URL}/{transition}", json_reply(job_document("queued"), 202))
        assert getattr(client, transition)("job_1").status == "queued"

    def test_impossible_transition_is_said_as_the_service_says_it(
        self, scripted: ScriptedServer, client: Potstill
    ) -> None:
        scripted.on("POST", f"{JOB_URL}/resume", problem_reply(409, "invalid_transition"))
        with pytest.raises(ApiProblem) as caught:
            client.resume("job_1")
        assert (caught.value.status, caught.value.code) == (409, "invalid_transition")

    def test_progress_is_read(self, scripted: ScriptedServer, client: Potstill) -> None:
        document = job_document(progress=progress_document(0.5))
        scripted.on("GET", JOB_URL, json_reply(document))
        job = client.job("job_1")
        assert job.progress is not None
        assert (job.progress.fraction, job.progress.eta_seconds) == (0.5, 65.0)

    def test_jobs_of_one_status_are_asked_for(
        self, scripted: ScriptedServer, client: Potstill
    ) -> None:
        page = {"items": [job_document("failed")], "next_cursor": None}
        scripted.on("GET", "/v1/jobs", json_reply(page))
        assert [job.id for job in client.jobs(status="failed")] == ["job_1"]
        assert "status=failed" in scripted.asked[0].query

    def test_metrics_are_asked_for_by_name_and_run(
        self, scripted: ScriptedServer, client: Potstill
    ) -> None:
        series = {"name": "loss", "run": "student", "steps": [1, 2], "values": [0.5, 0.25]}
        scripted.on("GET", f"{JOB_URL}/metrics", json_reply({"series": [series]}))
        [found] = client.metrics("job_1", name="loss", run="student", max_points=10)
        assert found.values == (0.5, 0.25)
        assert scripted.asked[0].query == "since_step=0&max_points=10&name=loss&run=student"

    def test_report_may_have_fields_of_a_newer_service(
        self, scripted: ScriptedServer, client: Potstill
    ) -> None:
        document = distill_report().model_dump(mode="json")
        document["columns"]["student"]["carbon_grams"] = 1.0
        scripted.on("GET", f"{JOB_URL}/report", json_reply(document))
        assert client.report("job_1") == distill_report()

    def test_end_of_the_log_is_read(self, scripted: ScriptedServer, client: Potstill) -> None:
        line = {
            "number": 9,
            "attempt": 1,
            "level": "info",
            "message": "epoch 1",
            "created_at": "2026-07-01T12:00:00Z",
        }
        scripted.on("GET", f"{JOB_URL}/logs", json_reply({"items": [line], "next_cursor": None}))
        assert [each.message for each in client.log("job_1", num_lines=5)] == ["epoch 1"]
        assert scripted.asked[0].query == "tail=5"


class TestWaitUntilReady:
    def test_waits_while_it_is_looked_at(
        self, scripted: ScriptedServer, client: Potstill, naps: list[float]
    ) -> None:
        scripted.on(
            "GET",
            "/v1/models/mdl_1",
            json_reply(model_document("validating")),
            json_reply(model_document("validating")),
            json_reply(model_document("ready")),
        )
        model = client.wait_until_ready(client.model("mdl_1"))
        assert model.status == "ready"
        assert len(naps) == 2

    def test_rejection_says_why_and_where(self, scripted: ScriptedServer, client: Potstill) -> None:
        problem = {
            "code": "tensor_shape_mismatch",
            "message": "output.weight has another shape.",
            "details": ["output.weight: expected [10, 8], found [9, 8]"],
        }
        scripted.on(
            "GET", "/v1/models/mdl_1", json_reply(model_document("rejected", problem=problem))
        )
        with pytest.raises(ResourceRejected, match="expected \\[10, 8\\]") as caught:
            client.wait_until_ready(client.model("mdl_1"))
        assert caught.value.code == "tensor_shape_mismatch"

    def test_waiting_ends_when_the_time_is_up(
        self, scripted: ScriptedServer, client: Potstill
    ) -> None:
        scripted.on("GET", "/v1/models/mdl_1", json_reply(model_document("validating")))
        with pytest.raises(WaitTimedOut, match="still validating"):
            client.wait_until_ready(client.model("mdl_1"), timeout_seconds=0.0)


def model_document(status: str, **fields: object) -> Json:
    return {
        "id": "mdl_1",
        "name": "a teacher",
        "status": status,
        "created_at": "2026-07-01T12:00:00Z",
        **fields,
    }
