"""The catalog lists what can be asked for, with schemas that accept it."""

from typing import Any

import pytest

from kdcore.spec import parse_job

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

Client = Any  # a class of conftest.py, which tests cannot import


def test_architectures_have_schema_limits_and_names(client: Client) -> None:
    items = client.get("/v1/architectures").json()["items"]
    found = {item["name"]: item for item in items}
    assert set(found) == {"mlp", "cnn", "resnet_cifar", "reused_classifier", "wrn", "torchvision/*"}
    assert "torchvision/resnet34" in found["torchvision/*"]["names"]
    assert found["torchvision/*"]["limits"]["image_channels"] == [3]
    assert found["resnet_cifar"]["paper"]["url"].startswith("https://arxiv.org/")
    assert "depth" in found["wrn"]["json_schema"]["properties"]


def test_methods_have_schema_formula_and_paper(client: Client) -> None:
    items = client.get("/v1/methods").json()["items"]
    found = {item["name"]: item for item in items}
    assert {"logit_kd", "logit_matching", "rkd"} <= set(found)
    assert found["logit_kd"]["paper"]["year"] == 2015
    assert "temperature" in found["logit_kd"]["json_schema"]["properties"]


def test_methods_tell_their_stages_and_which_layers_they_compare(client: Client) -> None:
    items = client.get("/v1/methods").json()["items"]
    found = {item["name"]: item for item in items}
    assert found["fsp"]["stages"] == ["fsp", "training"]
    assert found["fsp"]["needs"]["layers"] == {
        "chosen": "flows",
        "shapes": "equal_channels",
        "fewest_places": 1,
    }
    assert found["logit_kd"]["stages"] == ["training"]
    assert found["logit_kd"]["needs"]["layers"] is None


def test_methods_tell_what_a_newcomer_would_trip_over(client: Client) -> None:
    found = {item["name"]: item for item in client.get("/v1/methods").json()["items"]}
    assert [name for name, item in found.items() if not item["needs"]["mixes"]] == ["crd"]
    assert found["attention"]["needs"]["layers"]["fewest_places"] == 49
    brought = {name: item["stage_optimizers"] for name, item in found.items()}
    assert brought.pop("fsp")["fsp"]["name"] == "adam"
    assert not any(brought.values())
    for item in found.values():
        fields = item["json_schema"]["properties"]
        assert fields["ce_weight"]["default"] >= 0
        undescribed = [name for name, field in fields.items() if "description" not in field]
        assert undescribed == ["name"]


def test_every_method_can_be_named_in_a_job(client: Client) -> None:
    for item in client.get("/v1/methods").json()["items"]:
        job = parse_job(
            {
                "kind": "distill",
                "dataset": "digits",
                "teachers": [{"model": "mdl_x"}] * item["needs"]["min_teachers"],
                "student": {"architecture": "mlp", "hidden": [8]},
                "method": {"name": item["name"]},
            }
        )
        assert job.kind == "distill"


def test_catalog_needs_a_key_and_answers_unchanged(client: Client, anonymous: Client) -> None:
    for route in ("/v1/architectures", "/v1/methods"):
        assert anonymous.get(route).status_code == 401
        etag = client.get(route).headers["ETag"]
        assert client.get(route, headers={"If-None-Match": etag}).status_code == 304
