"""Layers of a method are chosen, and misfits refused, before a job is queued."""

from typing import Any

import pytest

from kdcore.spec import parse_job

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

Client = Any  # these are classes of conftest.py, which tests cannot import
Rows = Any
Json = dict[str, Any]

RESNET: Json = {"architecture": "resnet_cifar", "depth": 14, "width": 8}
SMALL_RESNET: Json = {"architecture": "resnet_cifar", "depth": 8, "width": 4}


@pytest.fixture
def distillation(rows: Rows) -> Json:
    """A job whose method compares layers and names none."""
    return {
        "kind": "distill",
        "dataset": rows.ready_dataset(),
        "teachers": [{"model": rows.ready_model(architecture=RESNET)}],
        "student": SMALL_RESNET,
        "method": {"name": "fitnet"},
        "training": {"num_epochs": 9, "batch_size": 16},
    }


def _refusal(client: Client, body: Json) -> Json:
    """The one error that both routes answer with; nothing was created."""
    answers = [client.post(route, json=body) for route in ("/v1/jobs/validate", "/v1/jobs")]
    assert [answer.status_code for answer in answers] == [422, 422], answers[0].text
    problems = [answer.json() for answer in answers]
    assert problems[0]["errors"] == problems[1]["errors"]
    assert client.get("/v1/jobs").json()["items"] == []
    [error] = problems[0]["errors"]
    return {"code": problems[0]["code"], **error}


def test_layers_and_stages_are_shown_before_and_after_the_job_is_created(
    client: Client, distillation: Json
) -> None:
    forecast = client.post("/v1/jobs/validate", json=distillation)
    created = client.post("/v1/jobs", json=distillation)

    assert (forecast.status_code, created.status_code) == (200, 201), forecast.text
    spec = forecast.json()["spec"]
    assert spec["method"]["layers"] == [
        {"teacher": "layer2", "student": "layer2", "adapter": "conv1x1"}
    ]
    stages = spec["training"]["stages"]
    assert [(stage["stage"], stage["num_epochs"]) for stage in stages] == [
        ("hint", 3),
        ("training", 9),
    ]
    assert created.json()["spec"] == spec
    assert not any("chosen" in warning for warning in forecast.json()["warnings"])


def test_resolved_spec_can_be_posted_again(client: Client, distillation: Json) -> None:
    spec = client.post("/v1/jobs/validate", json=distillation).json()["spec"]

    again = client.post("/v1/jobs/validate", json=spec).json()["spec"]

    assert again == spec
    assert parse_job(again) == parse_job(spec)


def test_flows_are_chosen_by_size(client: Client, distillation: Json) -> None:
    body = distillation | {"method": {"name": "fsp"}}

    layers = client.post("/v1/jobs/validate", json=body).json()["spec"]["method"]["layers"]

    assert [(flow["teacher"], flow["student"], flow["adapter"]) for flow in layers] == [
        (["conv1", "layer1"], ["conv1", "layer1"], "conv1x1"),
        (["layer2.0", "layer2"], ["layer2.0.conv1", "layer2"], "conv1x1"),
        (["layer3.0", "layer3"], ["layer3.0.conv1", "layer3"], "conv1x1"),
    ]


def test_layer_that_the_teacher_does_not_have_is_refused(
    client: Client, distillation: Json
) -> None:
    layers = [{"teacher": "layer4", "student": "layer2", "adapter": "conv1x1"}]

    error = _refusal(client, distillation | {"method": {"name": "fitnet", "layers": layers}})

    assert (error["code"], error["pointer"]) == ("unknown_layer", "/method/layers/0/teacher")
    assert "'layer3'" in error["detail"]


def test_unequal_channels_without_an_adapter_are_refused_with_both_shapes(
    client: Client, distillation: Json
) -> None:
    layers = [{"teacher": "layer2", "student": "layer2"}]

    error = _refusal(client, distillation | {"method": {"name": "fitnet", "layers": layers}})

    assert (error["code"], error["pointer"]) == (
        "layer_channels_differ",
        "/method/layers/0/adapter",
    )
    assert "8x4x4" in error["detail"]
    assert "16x4x4" in error["detail"]


def test_unequal_sizes_are_refused_with_both_shapes(client: Client, distillation: Json) -> None:
    layers = [{"teacher": "layer1", "student": "layer2", "adapter": "conv1x1"}]

    error = _refusal(client, distillation | {"method": {"name": "fitnet", "layers": layers}})

    assert (error["code"], error["pointer"]) == ("layer_sizes_differ", "/method/layers/0")
    assert "8x4x4" in error["detail"]
    assert "8x8x8" in error["detail"]


def test_networks_that_share_no_size_are_refused_with_names_of_both(
    client: Client, distillation: Json, rows: Rows
) -> None:
    flat = rows.ready_model()

    error = _refusal(
        client, distillation | {"teachers": [{"model": flat}], "method": {"name": "fsp"}}
    )

    assert (error["code"], error["pointer"]) == ("no_layers_to_pair", "/method/layers")
    assert "layer1 (4x8x8)" in error["detail"]
    assert "hidden (64)" in error["detail"]


def test_layers_of_a_torchvision_student_are_chosen_when_the_job_starts(
    client: Client, rows: Rows
) -> None:
    coloured = {"channels": 3, "height": 8, "width": 8}
    body = {
        "kind": "distill",
        "dataset": rows.ready_dataset(channels=3),
        "teachers": [{"model": rows.ready_model(architecture=RESNET, input=coloured)}],
        "student": {"architecture": "torchvision/resnet18"},
        "method": {"name": "fitnet"},
    }

    answer = client.post("/v1/jobs/validate", json=body)

    assert answer.status_code == 200, answer.text
    assert answer.json()["spec"]["method"]["layers"] == []
    stages = answer.json()["spec"]["training"]["stages"]
    assert [stage["stage"] for stage in stages] == ["hint", "training"]
    assert any(
        "chosen and checked when the job starts" in each for each in answer.json()["warnings"]
    )
