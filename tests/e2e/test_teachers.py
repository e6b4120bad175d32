"""Teachers through HTTP: several at once, assistants, students that teach, and bad ones."""

import pytest

from kdclient import Potstill, verify_manifest
from kdclient.errors import JobFailed
from kdclient.resources import Model
from tests.e2e.conftest import TEACHER_SPEC, Json, Teacher

pytestmark = pytest.mark.xdist_group("e2e")  # one service for all of them

STUDENT_SPEC: Json = {
    "kind": "distill",
    "dataset": "digits",
    "student": {"architecture": "mlp", "hidden": [4]},
    "training": {"num_epochs": 2, "optimizer": {"name": "adam", "learning_rate": 0.01}},
    "evaluation": {"latency": False, "every_epochs": 2},
    "exports": ["safetensors"],
}


@pytest.fixture(scope="module")
def born_again(client: Potstill) -> Model:
    """The student of a job without a teacher, as a model."""
    method = {"name": "self_distillation", "generations": 2}
    spec = {**STUDENT_SPEC, "student": {"architecture": "mlp", "hidden": [32]}, "method": method}
    job = client.wait_for_job(client.create_job(spec).id)
    report = client.report(job.id)
    assert list(report.columns) == ["teacher", "control", "generation_1", "student"]
    runs = {series.run for series in client.metrics(job.id)}
    assert runs == {"control", "generation_1", "student"}
    return client.wait_until_ready(client.create_model_from_job("born again", job_id=job.id))


def test_student_of_one_job_teaches_beside_another_teacher_through_an_assistant(
    client: Potstill, teacher: Teacher, born_again: Model, tmp_path_factory: pytest.TempPathFactory
) -> None:
    spec = {
        **STUDENT_SPEC,
        "teachers": [{"model": teacher.model.id, "weight": 2}, {"model": born_again.id}],
        "assistants": [{"architecture": "mlp", "hidden": [16]}],
    }
    plan = client.validate_job(spec)
    assert plan.spec["teacher_average"] == "probabilities"
    assert len(plan.teachers) == 2

    job = client.wait_for_job(client.create_job(spec).id)
    folder = tmp_path_factory.mktemp("chain")
    client.download_artifacts(job.id, folder)

    columns = client.report(job.id).columns
    assert list(columns) == [
        "teacher",
        "teacher_1",
        "teacher_2",
        "assistant_1",
        "student",
        "control",
    ]
    assert columns["teacher_1"].balanced_accuracy_beforehand is not None
    assert [each.model for each in verify_manifest(folder).teachers] == [
        teacher.model.id,
        born_again.id,
    ]
    assert (folder / "assistant_1.json").exists()
    assert any("teacher_2: balanced accuracy" in line.message for line in client.log(job.id))


def test_teacher_that_knows_nothing_fails_the_job_before_it_trains(client: Potstill) -> None:
    barely = {"num_epochs": 1, "optimizer": {"name": "sgd", "learning_rate": 1e-9}}
    job = client.wait_for_job(client.create_job({**TEACHER_SPEC, "training": barely}).id)
    model = client.wait_until_ready(client.create_model_from_job("knows nothing", job_id=job.id))
    doomed = client.create_job({**STUDENT_SPEC, "teachers": [{"model": model.id}]})
    with pytest.raises(JobFailed, match="teacher_near_chance"):
        client.wait_for_job(doomed.id)
    assert not client.metrics(doomed.id)
