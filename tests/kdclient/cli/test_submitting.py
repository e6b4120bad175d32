"""`potstill train` and `potstill distill`: what is posted, and what is shown until the end."""

import json
from pathlib import Path

import pytest

from tests.kdclient.cli.conftest import Run
from tests.kdclient.job_documents import (
    EVENTS_URL,
    JOB_URL,
    Json,
    job_document,
    progress_document,
    status_event,
    stream_reply,
)
from tests.kdclient.reports import distill_report
from tests.kdclient.scripted_server import ScriptedServer, json_reply, problem_reply

MODEL = {
    "id": "mdl_9",
    "name": "a job",
    "status": "ready",
    "job_id": "job_1",
    "created_at": "2026-07-01T12:00:00Z",
}
MLP = '{"architecture": "mlp", "hidden": [32]}'


def posted(scripted: ScriptedServer) -> Json:
    [asked] = scripted.asked_for("POST", "/v1/jobs")
    body: Json = json.loads(asked.body)
    return body


@pytest.fixture
def spec_file(tmp_path: Path) -> Path:
    """A distillation with fields of its own."""
    path = tmp_path / "spec.json"
    spec = {
        "kind": "distill",
        "dataset": "dts_1",
        "teachers": [{"model": "mdl_1"}],
        "student": json.loads(MLP),
        "method": {"name": "logit_kd", "temperature": 20},
        "training": {
            "num_epochs": 60,
            "optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.5},
        },
    }
    path.write_text(json.dumps(spec))
    return path


class TestWhatIsPosted:
    @pytest.fixture(autouse=True)
    def _service(self, scripted: ScriptedServer) -> None:
        scripted.on("POST", "/v1/jobs", json_reply(job_document("queued"), 201))

    def test_evaluate_posts_its_models_by_number(self, scripted: ScriptedServer, run: Run) -> None:
        run(
            *("evaluate", "mdl_1", "mdl_2", "--dataset", "digits", "--average", "logits"),
            *("--weight", "1", "--weight", "3", "--split", "test", "--tag", "a=b", "--detach"),
        )
        assert posted(scripted) == {
            "kind": "evaluate",
            "dataset": "digits",
            "average": "logits",
            "models": [{"model": "mdl_1", "weight": 1.0}, {"model": "mdl_2", "weight": 3.0}],
            "evaluation": {"splits": ["test"]},
            "tags": {"a": "b"},
        }

    def test_evaluate_takes_a_weight_for_each_model_or_none(
        self, scripted: ScriptedServer, run: Run
    ) -> None:
        done = run("evaluate", "mdl_1", "mdl_2", "--dataset", "digits", "--weight", "1")
        assert done.status == 2
        assert scripted.asked_for("POST", "/v1/jobs") == []

    def test_only_what_was_given_is_sent(self, scripted: ScriptedServer, run: Run) -> None:
        run("train", "--dataset", "digits", "--network", MLP, "--detach")
        assert posted(scripted) == {
            "kind": "train",
            "dataset": "digits",
            "network": {"architecture": "mlp", "hidden": [32]},
        }

    def test_every_option_of_distill_has_its_field(
        self, scripted: ScriptedServer, run: Run
    ) -> None:
        options = {
            "--dataset": "digits",
            "--teacher": "mdl_1",
            "--student": MLP,
            "--method": "logit_kd",
            "--temperature": "4",
            "--ce-weight": "0.2",
            "--kd-weight": "0.8",
            "--name": "a name",
            "--epochs": "3",
            "--batch-size": "64",
            "--optimizer": "sgd",
            "--learning-rate": "0.1",
            "--seed": "7",
            "--augmentation": '{"name": "flip"}',
            "--transfer-dataset": "dts_2",
            "--tag": "team=vision",
        }
        arguments = [part for pair in options.items() for part in pair]
        run("distill", *arguments, "--no-control", "--detach")
        assert posted(scripted) == {
            "kind": "distill",
            "dataset": "digits",
            "name": "a name",
            "teachers": [{"model": "mdl_1"}],
            "student": {"architecture": "mlp", "hidden": [32]},
            "method": {
                "name": "logit_kd",
                "temperature": 4.0,
                "ce_weight": 0.2,
                "kd_weight": 0.8,
            },
            "training": {
                "num_epochs": 3,
                "batch_size": 64,
                "seed": 7,
                "optimizer": {"name": "sgd", "learning_rate": 0.1},
            },
            "transfer": {"dataset": "dts_2", "augmentation": {"name": "flip"}},
            "control": False,
            "tags": {"team": "vision"},
        }

    def test_options_change_fields_of_the_file(
        self, scripted: ScriptedServer, run: Run, spec_file: Path
    ) -> None:
        run("distill", str(spec_file), "--temperature", "4", "--learning-rate", "0.05", "--detach")
        spec = posted(scripted)
        assert spec["method"] == {"name": "logit_kd", "temperature": 4.0}
        assert spec["training"]["optimizer"] == {
            "name": "sgd",
            "learning_rate": 0.05,
            "momentum": 0.5,
        }
        assert spec["training"]["num_epochs"] == 60

    def test_another_method_or_optimizer_drops_fields_of_the_first(
        self, scripted: ScriptedServer, run: Run, spec_file: Path
    ) -> None:
        chosen = ("--method", "logit_matching", "--optimizer", "adam")
        run("distill", str(spec_file), *chosen, "--detach")
        assert posted(scripted)["method"] == {"name": "logit_matching"}
        assert posted(scripted)["training"]["optimizer"] == {"name": "adam"}

    def test_method_may_be_given_with_all_its_fields(
        self, scripted: ScriptedServer, run: Run, spec_file: Path
    ) -> None:
        method = '{"name": "rkd", "angle_weight": 25}'
        run("distill", str(spec_file), "--method", method, "--kd-weight", "0.5", "--detach")
        assert posted(scripted)["method"] == {"name": "rkd", "angle_weight": 25, "kd_weight": 0.5}

    def test_network_may_be_read_from_a_file(
        self, scripted: ScriptedServer, run: Run, tmp_path: Path
    ) -> None:
        (tmp_path / "network.json").write_text(MLP)
        network = f"@{tmp_path / 'network.json'}"
        run("train", "--dataset", "digits", "--network", network, "--detach")
        assert posted(scripted)["network"]["hidden"] == [32]

    def test_finished_job_as_a_teacher_becomes_a_model_first(
        self, scripted: ScriptedServer, run: Run
    ) -> None:
        scripted.on("GET", "/v1/models", json_reply({"items": [], "next_cursor": None}))
        scripted.on("GET", JOB_URL, json_reply(job_document("succeeded")))
        scripted.on("POST", "/v1/models", json_reply(MODEL, 202))
        run("distill", "--dataset", "digits", "--teacher", "job_1", "--student", MLP, "--detach")
        assert posted(scripted)["teachers"] == [{"model": "mdl_9"}]
        [asked] = scripted.asked_for("POST", "/v1/models")
        assert json.loads(asked.body)["job_id"] == "job_1"

    def test_several_teachers_are_named_in_their_order(
        self, scripted: ScriptedServer, run: Run
    ) -> None:
        teachers = ("--teacher", "mdl_1", "--teacher", "mdl_2")
        run("distill", "--dataset", "digits", *teachers, "--student", MLP, "--detach")
        assert posted(scripted)["teachers"] == [{"model": "mdl_1"}, {"model": "mdl_2"}]

    def test_job_that_is_a_model_already_is_not_made_one_again(
        self, scripted: ScriptedServer, run: Run
    ) -> None:
        scripted.on("GET", "/v1/models", json_reply({"items": [MODEL], "next_cursor": None}))
        run("distill", "--dataset", "digits", "--teacher", "job_1", "--student", MLP, "--detach")
        assert posted(scripted)["teachers"] == [{"model": "mdl_9"}]
        assert not scripted.asked_for("POST", "/v1/models")


class TestWrongUsage:
    @pytest.mark.parametrize(
        ("arguments", "word"),
        [
            (("train", "--network", "{hidden"), "not JSON"),
            (("train", "--network", "[1]"), "JSON object"),
            (("train", "--network", "@nowhere.json"), "cannot read"),
            (("train", "--tag", "vision"), "key=value"),
            (("train", "nowhere.json"), "cannot read"),
            (("distill", "--epochs", "many"), "--epochs"),
            (("distil",), "distil"),
        ],
    )
    def test_is_told_and_ends_with_2(
        self, run: Run, scripted: ScriptedServer, arguments: tuple[str, ...], word: str
    ) -> None:
        ended = run(*arguments)
        assert ended.status == 2
        assert word in ended.err
        assert scripted.asked == []

    def test_file_of_another_kind_names_the_right_command(self, run: Run, spec_file: Path) -> None:
        ended = run("train", str(spec_file))
        assert ended.status == 2
        assert "potstill" in ended.err
        assert "distill" in ended.err


class TestUntilTheEnd:
    def test_progress_then_the_table(self, scripted: ScriptedServer, run: Run) -> None:
        scripted.on("POST", "/v1/jobs", json_reply(job_document("queued"), 201))
        scripted.on(
            "GET", JOB_URL, json_reply(job_document()), json_reply(job_document("succeeded"))
        )
        scripted.on(
            "GET",
            EVENTS_URL,
            json_reply({"items": [], "next_cursor": None}),
            stream_reply(progress_document(0.5), status_event(1, "succeeded")),
        )
        report = distill_report().model_dump(mode="json")
        scripted.on("GET", f"{JOB_URL}/report", json_reply(report))
        ended = run("train", "--dataset", "digits", "--network", MLP)
        assert ended.status == 0
        assert ended.out.splitlines()[0] == "job_1"
        assert "50 %  epoch 1/2  loss 0.5000  accuracy –  1,000 images/s  ETA 1:05" in ended.err
        for word in ("teacher", "student", "control", "difference", "+4.00 points"):
            assert word in ended.out
        assert "potstill download job_1" in ended.out

    def test_failed_job_ends_with_1_and_its_cause(self, scripted: ScriptedServer, run: Run) -> None:
        error = {"code": "diverged", "message": "Lower the learning rate.", "fault": "user"}
        scripted.on("GET", EVENTS_URL, json_reply({"items": [], "next_cursor": None}))
        scripted.on("GET", JOB_URL, json_reply(job_document("failed", error=error)))
        ended = run("watch", "job_1")
        assert ended.status == 1
        assert "Lower the learning rate. (diverged)" in ended.err

    def test_dataset_that_is_still_looked_at_is_waited_for(
        self, scripted: ScriptedServer, run: Run
    ) -> None:
        scripted.on(
            "POST",
            "/v1/jobs",
            problem_reply(422, "dataset_not_ready"),
            json_reply(job_document("queued"), 201),
        )
        dataset = {"id": "digits", "name": "digits", "status": "ready"}
        scripted.on("GET", "/v1/datasets/digits", json_reply(dataset))
        ended = run("train", "--dataset", "digits", "--network", MLP, "--detach")
        assert (ended.status, ended.out) == (0, "job_1\n")

    def test_transfer_set_is_waited_for_like_the_dataset(
        self, scripted: ScriptedServer, run: Run
    ) -> None:
        scripted.on(
            "POST",
            "/v1/jobs",
            problem_reply(422, "dataset_not_ready"),
            json_reply(job_document("queued"), 201),
        )
        for name in ("dts_1", "digits"):
            dataset = {"id": name, "name": name, "status": "ready"}
            scripted.on("GET", f"/v1/datasets/{name}", json_reply(dataset))
        datasets = ("--dataset", "dts_1", "--transfer-dataset", "digits")
        ended = run("train", *datasets, "--network", MLP, "--detach")
        assert (ended.status, ended.out) == (0, "job_1\n")
        assert scripted.asked_for("GET", "/v1/datasets/digits")

    def test_dry_run_creates_nothing(self, scripted: ScriptedServer, run: Run) -> None:
        plan = {
            "spec": {"kind": "train"},
            "network": {"parameters": 2410, "flops": 4736},
            "estimate": {"memory_bytes_at_least": 9000},
            "warnings": ["Take care."],
        }
        scripted.on("POST", "/v1/jobs/validate", json_reply(plan))
        ended = run("train", "--dataset", "digits", "--network", MLP, "--dry-run")
        assert json.loads(ended.out)["network"]["parameters"] == 2410
        assert not scripted.asked_for("POST", "/v1/jobs")
