"""A dry run tells what a job would be, and creates nothing."""

from typing import Any

import pytest

from kdcore.spec import parse_job
from kdstore import jobs
from kdstore.db import SessionFactory, transaction

Client = Any  # these are classes of conftest.py, which tests cannot import
Rows = Any
Json = dict[str, Any]

LARGER = {"channels": 1, "height": 28, "width": 28}


@pytest.fixture
def distillation(rows: Rows) -> Json:
    """A job whose dataset and teacher are ready and fit."""
    return {
        "kind": "distill",
        "dataset": rows.ready_dataset(),
        "teachers": [{"model": rows.ready_model()}],
        "student": {"architecture": "mlp", "hidden": [8]},
        "training": {"num_epochs": 10, "batch_size": 16},
    }


def _forecast(client: Client, body: Json) -> Json:
    answer = client.post("/v1/jobs/validate", json=body)
    assert answer.status_code == 200, answer.text
    forecast: Json = answer.json()
    return forecast


def test_spec_is_resolved_and_nothing_created(client: Client, distillation: Json) -> None:
    spec = _forecast(client, distillation)["spec"]
    assert spec["method"]["name"] == "logit_kd"
    assert parse_job(spec) == parse_job(distillation)
    assert client.get("/v1/jobs").json()["items"] == []


@pytest.mark.parametrize(
    ("given", "resolved"),
    [
        (
            {"rule": "match_prior", "classes": [1]},
            {"rule": "match_prior", "images": "train", "prior": "train", "classes": [1]},
        ),
        (
            {"rule": "fixed", "offsets": [{"label": 1, "offset": 3}]},
            {"rule": "fixed", "offsets": [{"label": 1, "offset": 3.0}]},
        ),
    ],
)
def test_calibration_is_resolved(
    client: Client, distillation: Json, given: Json, resolved: Json
) -> None:
    spec = _forecast(client, distillation | {"calibration": given})["spec"]
    assert spec["calibration"] == resolved


def test_parameters_and_flops_of_teacher_and_student(client: Client, distillation: Json) -> None:
    forecast = _forecast(client, distillation)
    # 8x8 pixels to 8 units to 3 classes.
    assert forecast["student"] == {"parameters": 64 * 8 + 8 + 8 * 3 + 3, "flops": 2 * (512 + 24)}
    assert forecast["network"] is None
    [teacher] = forecast["teachers"]
    assert teacher["model"] == distillation["teachers"][0]["model"]
    assert teacher["parameters"] == 8515
    assert teacher["accuracy"] is None


def test_training_tells_its_network(client: Client, distillation: Json) -> None:
    body = {
        "kind": "train",
        "dataset": distillation["dataset"],
        "network": distillation["student"],
    }
    forecast = _forecast(client, body)
    assert forecast["network"]["parameters"] == 547
    assert forecast["student"] is None
    assert forecast["teachers"] == []


def test_memory_counts_weights_gradients_and_moments(client: Client, distillation: Json) -> None:
    adam = _forecast(client, distillation)["estimate"]
    assert adam["memory_bytes_at_least"] == 4 * (547 * 4 + 8515)
    sgd = distillation | {"training": {"optimizer": {"name": "sgd", "momentum": 0.0}}}
    assert _forecast(client, sgd)["estimate"]["memory_bytes_at_least"] == 4 * (547 * 2 + 8515)


def test_copy_for_a_checkpoint_has_no_gradients_and_no_teacher(
    client: Client, distillation: Json
) -> None:
    assert _forecast(client, distillation)["estimate"]["checkpoint_copy_bytes"] == 4 * 547 * 3
    sgd = distillation | {"training": {"optimizer": {"name": "sgd", "momentum": 0.9}}}
    assert _forecast(client, sgd)["estimate"]["checkpoint_copy_bytes"] == 4 * 547 * 2


def test_images_are_told_apart_for_they_need_not_be_held(
    client: Client, distillation: Json
) -> None:
    assert _forecast(client, distillation)["estimate"]["image_bytes"] == 180 * 64


def test_images_and_epochs_count_the_transfer_set(
    client: Client, rows: Rows, distillation: Json
) -> None:
    alone = _forecast(client, distillation)["estimate"]["image_bytes"]
    unlabelled = {"dataset": rows.ready_dataset(num_classes=2), "unlabeled": True}
    both = _forecast(
        client,
        distillation
        | {
            "transfer": unlabelled,
            "method": {"name": "logit_kd", "ce_weight": 0.0},
            "control": False,
            "training": {"batch_size": 64},
        },
    )
    assert both["estimate"]["image_bytes"] == alone + 120 * 64
    assert any("60 training images" in warning for warning in both["warnings"])


def test_torchvision_is_known_only_when_built(client: Client, rows: Rows) -> None:
    body = {
        "kind": "train",
        "dataset": rows.ready_dataset(channels=3),
        "network": {"architecture": "torchvision/resnet18"},
    }
    forecast = _forecast(client, body)
    assert forecast["network"] == {"parameters": None, "flops": None}
    assert forecast["estimate"]["memory_bytes_at_least"] is None
    assert any("torchvision" in warning for warning in forecast["warnings"])


def test_time_is_unknown_before_a_like_job_has_finished(client: Client, distillation: Json) -> None:
    forecast = _forecast(client, distillation)
    assert forecast["estimate"]["training_seconds"] is None
    assert any("no time" in warning for warning in forecast["warnings"])


def test_time_is_scaled_from_a_like_job(client: Client, rows: Rows, distillation: Json) -> None:
    job_id = client.post("/v1/jobs", json=distillation).json()["id"]
    rows.finish(rows.claim(job_id))  # 10 epochs in 5 seconds
    longer = distillation | {
        "training": {"num_epochs": 40, "batch_size": 16, "seed": 3},
        "method": {"name": "logit_kd", "temperature": 9},
        "limits": {"max_seconds": 10},
    }
    forecast = _forecast(client, longer)
    assert forecast["estimate"]["training_seconds"] == pytest.approx(20.0)
    assert any("max_seconds" in warning for warning in forecast["warnings"])
    other = distillation | {"student": {"architecture": "mlp", "hidden": [9]}}
    assert _forecast(client, other)["estimate"]["training_seconds"] is None


def test_time_of_another_method_is_no_guide(client: Client, rows: Rows, distillation: Json) -> None:
    rows.finish(rows.claim(client.post("/v1/jobs", json=distillation).json()["id"]))
    other = distillation | {"method": {"name": "fitnet"}}
    assert _forecast(client, other)["estimate"]["training_seconds"] is None


def test_time_is_scaled_by_the_epochs_and_steps_of_all_stages(
    client: Client, rows: Rows, distillation: Json
) -> None:
    hints = distillation | {"method": {"name": "fitnet"}}  # 3 epochs of hints, 10 of training
    rows.finish(rows.claim(client.post("/v1/jobs", json=hints).json()["id"]))  # in 5 seconds
    stage = {"stage": "hint", "num_epochs": 16}
    longer = hints | {"training": {"num_epochs": 10, "batch_size": 16, "stages": [stage]}}
    assert _forecast(client, longer)["estimate"]["training_seconds"] == pytest.approx(10.0)
    stages = [{"stage": "hint", "num_steps": 5}]
    in_steps = hints | {"training": {"num_epochs": 10, "batch_size": 16, "stages": stages}}
    # 6 steps an epoch.
    estimated = _forecast(client, in_steps)["estimate"]["training_seconds"]
    assert estimated == pytest.approx(5.0 * (5 + 60) / (18 + 60))


def test_time_counts_the_steps_of_stages(client: Client, rows: Rows) -> None:
    network = {"architecture": "resnet_cifar", "depth": 8, "width": 8}
    body = {
        "kind": "distill",
        "dataset": rows.ready_dataset(),
        "teachers": [{"model": rows.ready_model(architecture=network)}],
        "student": network,
        "method": {"name": "fsp"},
        "training": {"num_epochs": 6, "batch_size": 30},
    }
    # 90 images: stage 1 has a third of the epochs, and the control as many steps as both.
    assert _forecast(client, body)["estimate"]["training_steps"] == 2 * (2 + 6) * 3
    rows.finish(rows.claim(client.post("/v1/jobs", json=body).json()["id"]))
    longer = body | {
        "training": {
            "num_epochs": 6,
            "batch_size": 30,
            "stages": [{"stage": "fsp", "num_steps": 54}],
        }
    }
    estimate = _forecast(client, longer)["estimate"]
    assert estimate["training_steps"] == 2 * (54 + 18)
    assert estimate["training_seconds"] == pytest.approx(5.0 * 144 / 48)


def test_time_of_other_peers_and_of_another_method_is_another(
    client: Client, rows: Rows, distillation: Json
) -> None:
    together = distillation | {"teachers": [], "method": {"name": "mutual_learning"}}
    rows.finish(rows.claim(client.post("/v1/jobs", json=together).json()["id"]))

    def seconds(**method: Any) -> float | None:
        body = together | {"method": {"name": "mutual_learning"} | method}
        found: float | None = _forecast(client, body)["estimate"]["training_seconds"]
        return found

    assert seconds(temperature=3) == pytest.approx(5.0)
    assert seconds(num_peers=2) is None
    assert seconds(kd_weight=0) is None
    assert _forecast(client, distillation)["estimate"]["training_seconds"] is None


def test_memory_counts_what_is_on_the_device_at_once(client: Client, distillation: Json) -> None:
    def values(**changes: Any) -> float:
        estimate = _forecast(client, distillation | changes)["estimate"]
        return float(estimate["memory_bytes_at_least"]) / 4

    # The teacher has 8515 parameters, the student 547, a network of 20 units 1363.
    wider = {"architecture": "mlp", "hidden": [20]}
    peers = {"name": "mutual_learning", "peers": [wider, wider]}
    assert values(teachers=[], method=peers) == (547 + 2 * 1363) * 4
    assert values(assistants=[wider]) == 8515 + 1363 * 4
    narrower = {"architecture": "mlp", "hidden": [7]}
    # The student learns while its assistant stays beside it, frozen.
    assert values(assistants=[narrower]) == 8515 + 547 * 4 + (64 * 7 + 7 + 7 * 3 + 3)
    assert values(teachers=[], method={"name": "self_distillation"}) == 547 * 5


def test_peer_that_cannot_be_built_is_pointed_at(client: Client, distillation: Json) -> None:
    peer = {"architecture": "torchvision/resnet18"}
    body = distillation | {"teachers": [], "method": {"name": "mutual_learning", "peers": [peer]}}
    answer = client.post("/v1/jobs/validate", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/method/peers/0/architecture"


def test_accuracy_of_a_trained_teacher_is_that_of_its_own_report(
    client: Client, rows: Rows, distillation: Json
) -> None:
    job_id = rows.job(dataset=distillation["dataset"])
    files = {"network.safetensors": b"weights", "network.json": b"{}"}
    rows.finish(rows.claim(job_id), files=files)
    model = client.post("/v1/models", json={"name": "t", "job_id": job_id}).json()["id"]
    rows.make_ready(model)
    body = distillation | {"teachers": [{"model": model}]}
    assert _forecast(client, body)["teachers"][0]["accuracy"] == 0.75


def test_accuracy_of_an_uploaded_teacher_is_that_of_a_report_where_it_taught(
    client: Client, rows: Rows, distillation: Json, session_factory: SessionFactory
) -> None:
    fence = rows.claim(client.post("/v1/jobs", json=distillation).json()["id"])
    report = {"columns": {"teacher": {"splits": {"test": {"accuracy": 0.9}}}}}
    with transaction(session_factory) as session:
        jobs.finish(session, fence, result={}, report=report, artifacts=[])
    assert _forecast(client, distillation)["teachers"][0]["accuracy"] == 0.9
    elsewhere = distillation | {"dataset": rows.ready_dataset()}
    assert _forecast(client, elsewhere)["teachers"][0]["accuracy"] is None


def test_warnings_say_what_a_report_will_lack(
    client: Client, rows: Rows, distillation: Json
) -> None:
    body = distillation | {
        "control": False,
        "student": {"architecture": "mlp", "hidden": [512]},
        "training": {"batch_size": 1000},
        "teachers": [{"model": rows.ready_model(class_names=[], input=LARGER)}],
    }
    warnings = " ".join(_forecast(client, body)["warnings"])
    for part in ("control", "not fewer than", "batch_size", "names no classes", "1x28x28"):
        assert part in warnings
