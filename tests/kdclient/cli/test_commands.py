"""The other commands: lists, reports, files in and out, and how errors are told."""

import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kdclient.cli import main
from tests.kdclient.cli.conftest import Run
from tests.kdclient.job_documents import EVENTS_URL, JOB_URL, job_document, progress_document
from tests.kdclient.processes import wait_until
from tests.kdclient.reports import distill_report
from tests.kdclient.scripted_server import Reply, ScriptedServer, json_reply, problem_reply

COMMANDS = (
    "up",
    "doctor",
    "upload",
    "train",
    "distill",
    "jobs",
    "watch",
    "report",
    "download",
    "cancel",
    "retry",
    "models",
    "datasets",
    "methods",
)


def page(*items: object) -> Reply:
    return json_reply({"items": list(items), "next_cursor": None})


class TestHelp:
    def test_every_command_is_listed(self, run: Run) -> None:
        ended = run("--help")
        assert ended.status == 0
        for command in COMMANDS:
            assert f" {command} " in ended.out

    @pytest.mark.parametrize("command", COMMANDS)
    def test_every_command_explains_itself(self, run: Run, command: str) -> None:
        ended = run(command, "--help")
        assert ended.status == 0
        assert "Usage" in ended.out


class TestLists:
    def test_jobs_are_lines_of_fields(self, scripted: ScriptedServer, run: Run) -> None:
        running = job_document(progress=progress_document(0.25))
        scripted.on("GET", "/v1/jobs", page(running, job_document("succeeded")))
        first, second = run("jobs").out.splitlines()
        assert first.split("\t")[:5] == ["job_1", "train", "training network", "25%", "a job"]
        assert second.split("\t")[:4] == ["job_1", "train", "succeeded", "100%"]

    def test_no_more_jobs_than_asked_for(self, scripted: ScriptedServer, run: Run) -> None:
        scripted.on("GET", "/v1/jobs", page(job_document(), job_document()))
        assert len(run("jobs", "--limit", "1").out.splitlines()) == 1

    def test_models_and_datasets(self, scripted: ScriptedServer, run: Run) -> None:
        model = {
            "id": "mdl_1",
            "name": "[red]a teacher",
            "status": "ready",
            "architecture": {"architecture": "mlp"},
            "parameters": 2410,
            "created_at": "2026-07-01T12:00:00Z",
        }
        dataset = {
            "id": "digits",
            "name": "digits",
            "status": "ready",
            "image": {"channels": 1, "height": 8, "width": 8},
            "class_names": ["0", "1"],
            "splits": {"train": {"num_examples": 1438, "class_counts": [700, 738]}},
        }
        unread = {"id": "dts_1", "name": "mine", "status": "validating"}
        scripted.on("GET", "/v1/models", page(model))
        scripted.on("GET", "/v1/datasets", page(dataset, unread))
        assert run("models").out == "mdl_1\tready\tmlp\t2,410\t[red]a teacher\n"
        assert run("datasets").out == (
            "digits\tready\t1x8x8\t2\ttrain 1,438\tdigits\ndts_1\tvalidating\t–\t–\t–\tmine\n"
        )

    def test_methods_are_told_with_their_stages_and_fields(
        self, scripted: ScriptedServer, run: Run
    ) -> None:
        method = {
            "name": "fitnet",
            "title": "FitNets: hints",
            "summary": "…",
            "formula": "…",
            "json_schema": {"properties": {"name": {}, "ce_weight": {}, "layers": {}}},
            "needs": {
                "min_teachers": 1,
                "max_teachers": 1,
                "labels": "if_ce_weight",
                "mixes": True,
                "layers": {"chosen": "middle", "shapes": "equal", "fewest_places": 1},
            },
            "stages": ["hint", "training"],
            "stage_optimizers": {"hint": {"name": "adam", "learning_rate": 0.001}},
        }
        several = {"min_teachers": 1, "max_teachers": 8, "labels": "if_ce_weight"}
        logits = method | {"name": "logit_kd", "needs": several, "stages": ["training"]}
        scripted.on("GET", "/v1/methods", page(method, logits))
        first, second = run("methods").out.splitlines()
        assert first == "fitnet\t1\thint, training\tce_weight, layers\tFitNets: hints"
        assert second.split("\t")[:3] == ["logit_kd", "1-8", "training"]


class TestReport:
    @pytest.fixture(autouse=True)
    def _service(self, scripted: ScriptedServer) -> None:
        report = distill_report().model_dump(mode="json")
        scripted.on("GET", f"{JOB_URL}/report", json_reply(report))

    def test_table_has_four_columns(self, run: Run) -> None:
        out = run("report", "job_1").out
        for word in ("teacher", "student", "control", "difference", "agreement with teacher"):
            assert word in out

    def test_markdown_is_for_pasting(self, run: Run) -> None:
        assert (
            run("report", "job_1", "--markdown").out.splitlines()[3]
            == "| errors | 2 | 5 | 9 | -4 |"
        )

    def test_unknown_split_is_an_error(self, run: Run) -> None:
        ended = run("report", "job_1", "--split", "train")
        assert (ended.status, "it has test" in ended.err) == (1, True)


class TestSteering:
    def test_cancel_and_retry_say_what_became_of_it(
        self, scripted: ScriptedServer, run: Run
    ) -> None:
        scripted.on("POST", f"{JOB_URL}/cancel", json_reply(job_document("cancelling"), 202))
        scripted.on("POST", f"{JOB_URL}/retry", json_reply(job_document("queued"), 202))
        assert run("cancel", "job_1").out == "job_1 is cancelling.\n"
        assert "job_1 is queued." in run("retry", "job_1").out
        assert scripted.asked[-1].body == b""
        run("retry", "job_1", "--max-seconds", "7200", "--max-attempts", "5")
        wish = {"limits": {"max_seconds": 7200, "max_attempts": 5}}
        assert json.loads(scripted.asked[-1].body) == wish

    def test_ctrl_c_while_watching_leaves_the_job_running(
        self, scripted: ScriptedServer, tmp_path: Path
    ) -> None:
        scripted.on("GET", EVENTS_URL, page())
        scripted.on("GET", JOB_URL, json_reply(job_document(progress=progress_document(0.5))))
        command = [sys.executable, "-m", "kdclient.cli", "watch", "job_1"]
        address = ["--url", scripted.url, "--api-key", "a-key"]
        errors = tmp_path / "errors"
        with errors.open("w") as file:
            process = subprocess.Popen([*command, *address], stderr=file, cwd=tmp_path)
        wait_until(lambda: "50 %" in errors.read_text(), what="progress")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
        assert "The job goes on" in errors.read_text()
        assert "potstill cancel job_1" in errors.read_text()
        assert not scripted.asked_for("POST", f"{JOB_URL}/cancel")


class TestUpload:
    @pytest.fixture(autouse=True)
    def _service(self, scripted: ScriptedServer) -> None:
        stored = {"id": "upl_1", "status": "stored", "size_bytes": 1, "part_size_bytes": 1}
        scripted.on("POST", "/v1/uploads", json_reply(stored, 201))
        scripted.on("GET", "/v1/uploads/upl_1", json_reply(stored))
        model = {
            "id": "mdl_1",
            "name": "a",
            "status": "ready",
            "created_at": "2026-07-01T12:00:00Z",
        }
        scripted.on("POST", "/v1/models", json_reply(model, 202))
        dataset = {"id": "dts_1", "name": "a", "status": "ready"}
        scripted.on("POST", "/v1/datasets", json_reply(dataset, 202))

    def test_checkpoint_takes_its_network_from_a_description(
        self, scripted: ScriptedServer, run: Run, tmp_path: Path
    ) -> None:
        description = {
            "architecture": {"architecture": "mlp", "hidden": [8]},
            "input": {"channels": 1, "height": 8, "width": 8, "mean": [0.3], "std": [0.4]},
            "num_classes": 2,
            "class_names": ["a", "b"],
        }
        (tmp_path / "network.json").write_text(json.dumps(description))
        (tmp_path / "teacher.pth").write_bytes(b"w")
        ended = run(
            "upload", str(tmp_path / "teacher.pth"), "--description", str(tmp_path / "network.json")
        )
        assert (ended.status, ended.out) == (0, "mdl_1\n")
        [asked] = scripted.asked_for("POST", "/v1/models")
        assert json.loads(asked.body) == {
            "name": "teacher.pth",
            "upload_id": "upl_1",
            "architecture": description["architecture"],
            "input": description["input"],
            "class_names": ["a", "b"],
        }

    def test_zip_is_a_dataset(self, scripted: ScriptedServer, run: Run, tmp_path: Path) -> None:
        (tmp_path / "images.zip").write_bytes(b"z")
        assert run("upload", str(tmp_path / "images.zip"), "--name", "mine").out == "dts_1\n"
        [asked] = scripted.asked_for("POST", "/v1/datasets")
        assert json.loads(asked.body) == {
            "name": "mine",
            "upload_id": "upl_1",
            "format": "image_folder_zip",
        }

    @pytest.mark.parametrize("names", ["zero, one", "@FILE"])
    def test_classes_are_named_by_the_one_who_knows_them(
        self, scripted: ScriptedServer, run: Run, tmp_path: Path, names: str
    ) -> None:
        (tmp_path / "names.txt").write_text("zero\none\n")
        (tmp_path / "teacher.pth").write_bytes(b"w")
        (tmp_path / "images.npz").write_bytes(b"z")
        given = ("--class-names", names.replace("FILE", str(tmp_path / "names.txt")))
        network = '{"architecture": "mlp", "hidden": [8]}'
        run("upload", str(tmp_path / "teacher.pth"), "--architecture", network, *given)
        run("upload", str(tmp_path / "images.npz"), *given)
        for route in ("/v1/models", "/v1/datasets"):
            [asked] = scripted.asked_for("POST", route)
            assert json.loads(asked.body)["class_names"] == ["zero", "one"]

    @pytest.mark.parametrize(
        ("name", "options", "word"),
        [
            ("teacher.pth", (), "--architecture"),
            ("mnist.zip", ("--format", "tar"), "image_folder_zip, npz, idx"),
            ("teacher.pth", ("--input", "{}"), "needs --architecture"),
            ("a.zip", ("--architecture", "{}", "--format", "npz"), "--format"),
        ],
    )
    def test_what_it_is_must_be_clear(
        self,
        run: Run,
        scripted: ScriptedServer,
        tmp_path: Path,
        name: str,
        options: tuple[str, ...],
        word: str,
    ) -> None:
        (tmp_path / name).write_bytes(b"x")
        ended = run("upload", str(tmp_path / name), *options)
        assert ended.status == 2
        assert word in " ".join(ended.err.split())
        assert scripted.asked == []

    def test_missing_file_is_wrong_usage(self, run: Run, tmp_path: Path) -> None:
        assert run("upload", str(tmp_path / "nowhere.pth")).status == 2


class TestDownload:
    def test_damaged_file_ends_with_1(
        self, scripted: ScriptedServer, run: Run, tmp_path: Path
    ) -> None:
        artifact = {
            "name": "student.onnx",
            "size_bytes": 4,
            "sha256": hashlib.sha256(b"good").hexdigest(),
            "media_type": "application/octet-stream",
            "url": f"{JOB_URL}/artifacts/student.onnx",
        }
        scripted.on("GET", f"{JOB_URL}/artifacts", page(artifact))
        scripted.on("GET", f"{JOB_URL}/artifacts/student.onnx", Reply(body=b"evil"))
        ended = run("download", "job_1", str(tmp_path / "files"))
        assert ended.status == 1
        assert "student.onnx has sha256" in ended.err
        assert list((tmp_path / "files").iterdir()) == []


class TestErrors:
    def test_problem_is_a_sentence_with_pointers(self, scripted: ScriptedServer, run: Run) -> None:
        item = {"pointer": "/method/temperature", "code": "x", "detail": "Give a number above 0."}
        body = {"code": "validation_failed", "detail": "One field is wrong.", "errors": [item]}
        scripted.on("POST", "/v1/jobs", json_reply(body, 422))
        ended = run("distill", "--dataset", "digits")
        assert ended.status == 1
        assert ended.err.splitlines() == [
            "potstill: /method/temperature: Give a number above 0.",
        ]

    def test_problem_of_one_field_is_not_said_twice(
        self, scripted: ScriptedServer, run: Run
    ) -> None:
        said = "The teacher has other classes."
        item = {"pointer": "/teachers/0/model", "code": "x", "detail": said}
        body = {"code": "teacher_classes_mismatch", "detail": said, "errors": [item]}
        scripted.on("POST", "/v1/jobs", json_reply(body, 422))
        assert run("distill", "--dataset", "digits").err.splitlines() == [
            f"potstill: {said} (teacher_classes_mismatch)",
            "  /teachers/0/model",
        ]

    def test_refused_key(self, scripted: ScriptedServer, run: Run) -> None:
        scripted.on("GET", "/v1/jobs", problem_reply(401, "key_invalid"))
        assert run("jobs").err == "potstill: It is key_invalid. (key_invalid)\n"

    def test_nothing_known_of_a_service(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("POTSTILL_URL")
        ended = run("jobs")
        assert ended.status == 1
        assert "Run `potstill up` in this folder" in ended.err
        assert "Traceback" not in ended.err

    def test_folder_that_cannot_be_written_is_named(
        self, scripted: ScriptedServer, run: Run, tmp_path: Path
    ) -> None:
        (tmp_path / "file").write_text("in the way")
        scripted.on("GET", f"{JOB_URL}/artifacts", page())
        ended = run("download", "job_1", str(tmp_path / "file"))
        assert ended.status == 1
        assert str(tmp_path / "file") in ended.err


def test_doctor_examines_what_is_installed_here_and_fails_with_it(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("POTSTILL_PORT", "no port")
    with pytest.raises(SystemExit) as caught:
        main(["doctor", "--json", "--quick", "--data-dir", str(tmp_path)])
    assert caught.value.code == 1
    [finding] = json.loads(capfd.readouterr().out)["findings"]
    assert (finding["verdict"], finding["detail"]) == ("failed", "POTSTILL_PORT")
