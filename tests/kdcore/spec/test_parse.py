"""Mistakes in a job are placed by pointer and told in plain words."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from kdcore.errors import Problem, SpecInvalid
from kdcore.spec import Cnn, DistillJob, ImageInput, LogitKd, Mlp, TrainJob, parse_job

DISTILL: dict[str, Any] = {
    "kind": "distill",
    "name": "mnist 1200x1200 to 800x800",
    "dataset": "dts_1",
    "teachers": [{"model": "mdl_1", "weight": 1.0}],
    "student": {"architecture": "mlp", "hidden": [800, 800]},
    "method": {"name": "logit_kd", "temperature": 20, "ce_weight": 0.1, "kd_weight": 0.9},
    "transfer": {
        "exclude_classes": [],
        "unlabeled": False,
        "fraction": 1.0,
        "augmentation": {"name": "jitter", "pixels": 2},
    },
    "training": {
        "num_epochs": 60,
        "batch_size": 128,
        "optimizer": {"name": "adam", "learning_rate": 0.001},
        "schedule": {"name": "cosine"},
        "precision": "auto",
        "seed": 0,
    },
    "control": True,
    "calibration": {"rule": "none"},
    "evaluation": {"splits": ["test"], "latency": True},
    "exports": ["safetensors", "onnx", "torch_export"],
    "limits": {"max_seconds": 3600, "max_attempts": 3},
    "tags": {"team": "vision"},
}
GONE = object()


def with_change(path: str, value: object) -> dict[str, Any]:
    """Copy the example with one place changed, or left out if `value` is GONE."""
    document = copy.deepcopy(DISTILL)
    *parents, last = path.split("/")
    here: Any = document
    for part in parents:
        here = here[part]
    if value is GONE:
        del here[last]
    else:
        here[last] = value
    return document


def only_problem(document: dict[str, Any]) -> Problem:
    with pytest.raises(SpecInvalid) as raised:
        parse_job(document)
    (problem,) = raised.value.problems
    return problem


def test_the_contracts_example_is_accepted_and_survives_a_round_trip() -> None:
    job = parse_job(DISTILL)
    assert isinstance(job, DistillJob)
    assert isinstance(job.method, LogitKd)
    assert job.method.temperature == 20
    assert parse_job(job.model_dump_json()) == job


def test_resolved_spec_has_every_default_filled_in() -> None:
    job = parse_job(
        {"kind": "train", "dataset": "digits", "network": {"architecture": "wrn", "depth": 16}}
    )
    assert isinstance(job, TrainJob)
    resolved = json.loads(job.model_dump_json())
    assert resolved["training"]["optimizer"]["name"] == "adam"
    assert resolved["network"]["widen_factor"] == 1


@pytest.mark.parametrize(
    ("path", "value", "pointer", "code", "says"),
    [
        ("method/temperature", 0, "/method/temperature", "out_of_range", "greater than 0, not 0"),
        ("method/temperature", -1, "/method/temperature", "out_of_range", "greater than 0"),
        ("method/temperature", "4", "/method/temperature", "float_type", "valid number"),
        ("method/name", "magic", "/method/name", "unknown_choice", "logit_matching"),
        ("method/temprature", 3, "/method/temprature", "unknown_field", "temperature"),
        (
            "method",
            {"name": "logit_matching", "temperature": 3},
            "/method/temperature",
            "unknown_field",
            "means nothing for logit_matching",
        ),
        (
            "method",
            {"name": "logit_kd", "ce_weight": 0, "kd_weight": 0},
            "/method/kd_weight",
            "no_loss_left",
            "raise one",
        ),
        ("method", "fsp", "/method", "object_type", "an object"),
        (
            "training/checkpoint_every_epochs",
            0,
            "/training/checkpoint_every_epochs",
            "out_of_range",
            "equal to 1, not 0",
        ),
        (
            "method",
            {"temperature": 3},
            "/method/name",
            "field_missing",
            "it says which method is meant",
        ),
        ("teachers", "mdl_1", "/teachers", "list_type", "a list"),
        ("kind", GONE, "/kind", "field_missing", "required"),
        ("kind", "teach", "/kind", "unknown_choice", "distill"),
        ("dataset", GONE, "/dataset", "field_missing", "required"),
        ("teachers", GONE, "/teachers", "field_missing", "required"),
        ("teachers", [], "/teachers", "too_short", "logit_kd takes 1 to 8 teachers, not 0."),
        ("teachers", [{"model": "m"}] * 9, "/teachers", "too_long", "at most 8"),
        ("teachers", [{"weight": 1}], "/teachers/0/model", "field_missing", "required"),
        (
            "student",
            {"architecture": "foo"},
            "/student/architecture",
            "unknown_architecture",
            "torchvision/<name>",
        ),
        ("student", {}, "/student/architecture", "unknown_architecture", "resnet_cifar"),
        (
            "student",
            {"architecture": "torchvision/resnet35"},
            "/student/architecture",
            "unknown_architecture",
            "GET /v1/architectures",
        ),
        (
            "student",
            {"architecture": "resnet_cifar", "depth": 21},
            "/student/depth",
            "depth_not_buildable",
            "nearest is 20",
        ),
        (
            "student",
            {"architecture": "cnn", "layers": [{"layer": "conv"}]},
            "/student/layers/0/channels",
            "field_missing",
            "required",
        ),
        (
            "student",
            {"architecture": "cnn", "layers": [{"layer": "cov"}]},
            "/student/layers/0/layer",
            "unknown_choice",
            "conv, pool",
        ),
        ("student/hidden", ["3"], "/student/hidden/0", "int_type", "valid integer"),
        ("training/num_epochs", True, "/training/num_epochs", "int_type", "valid integer"),
        (
            "training/schedule",
            {"name": "cosine", "warmup_epochs": 100},
            "/training/schedule/warmup_epochs",
            "warmup_too_long",
            "60 epochs",
        ),
        (
            "training/optimizer",
            {"name": "adam", "momentum": 0.9},
            "/training/optimizer/momentum",
            "unknown_field",
            "means nothing for adam",
        ),
        ("transfer/unlabeled", True, "/method/ce_weight", "unlabeled_needs_no_labels", "to 0"),
        ("evaluation/splits", ["dev"], "/evaluation/splits", "unknown_split", "test"),
        ("exports", ["tf"], "/exports/0", "unknown_choice", "onnx"),
    ],
)
def test_mistake_is_named_where_it_is(
    path: str, value: object, pointer: str, code: str, says: str
) -> None:
    problem = only_problem(with_change(path, value))
    assert (problem.pointer, problem.code) == (pointer, code)
    assert says in problem.message


def test_every_mistake_is_reported_at_once() -> None:
    document = with_change("training/num_epochs", 0)
    document["method"]["temperature"] = 0
    with pytest.raises(SpecInvalid) as raised:
        parse_job(document)
    assert {problem.pointer for problem in raised.value.problems} == {
        "/training/num_epochs",
        "/method/temperature",
    }


def test_text_that_is_not_json_is_told_so() -> None:
    with pytest.raises(SpecInvalid, match="not valid JSON"):
        parse_job("{")


def test_unlabeled_distillation_needs_no_labels_and_no_control() -> None:
    document = with_change("transfer/unlabeled", True)
    document["method"]["ce_weight"] = 0
    assert only_problem(document).code == "control_needs_labels"
    document["control"] = False
    assert isinstance(parse_job(document), DistillJob)


def test_transfer_set_that_is_the_dataset_itself_is_refused() -> None:
    problem = only_problem(with_change("transfer/dataset", "dts_1"))
    assert (problem.pointer, problem.code) == ("/transfer/dataset", "same_dataset")


def test_job_names_every_dataset_that_it_reads() -> None:
    assert parse_job(DISTILL).datasets == ("dts_1",)
    assert parse_job(with_change("transfer/dataset", "dts_2")).datasets == ("dts_1", "dts_2")


def test_library_users_may_write_lists() -> None:
    assert Mlp(hidden=[3, 4]).hidden == (3, 4)  # type: ignore[arg-type]  # what the test is about
    assert Cnn.model_validate({"layers": [{"layer": "linear", "features": 3}]}).layers


def test_normalisation_defaults_to_none_and_must_match_the_channels() -> None:
    assert ImageInput(channels=2, height=3, width=4).std == (1.0, 1.0)
    with pytest.raises(ValueError, match="one mean for each of the 3 channels"):
        ImageInput(channels=3, height=3, width=4, mean=(0.5,))


def test_spec_files_in_the_repository_parse() -> None:
    recipes = Path(__file__).parents[3] / "recipes"
    specs = [path for path in recipes.glob("**/*.json") if path.name != "recipe.json"]
    assert specs
    for path in specs:
        parse_job(path.read_text())
