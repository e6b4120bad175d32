"""A job is refused before it is created if what it refers to is missing or does not fit."""

from typing import Any

import pytest

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

Client = Any  # these are classes of conftest.py, which tests cannot import
Rows = Any
Json = dict[str, Any]

MLP: Json = {"architecture": "mlp", "hidden": [8]}


@pytest.fixture
def distillation(rows: Rows) -> Json:
    """A job whose dataset and teacher are ready and fit."""
    return {
        "kind": "distill",
        "dataset": rows.ready_dataset(),
        "teachers": [{"model": rows.ready_model()}],
        "student": MLP,
    }


def _refusal(client: Client, body: Json) -> tuple[str, list[str]]:
    """The code and pointers that both routes answer with; nothing was created."""
    answers = [client.post(route, json=body) for route in ("/v1/jobs/validate", "/v1/jobs")]
    assert [answer.status_code for answer in answers] == [422, 422], answers[0].text
    problems = [answer.json() for answer in answers]
    assert problems[0]["errors"] == problems[1]["errors"]
    assert client.get("/v1/jobs").json()["items"] == []
    assert all(item["detail"] for item in problems[0]["errors"])
    return problems[0]["code"], [item["pointer"] for item in problems[0]["errors"]]


def test_fitting_job_passes(client: Client, distillation: Json) -> None:
    assert client.post("/v1/jobs/validate", json=distillation).status_code == 200


def test_everything_missing_is_named_at_once(client: Client, distillation: Json) -> None:
    body = distillation | {"dataset": "dts_x", "teachers": [{"model": "mdl_x"}]}
    assert _refusal(client, body) == ("dataset_not_found", ["/dataset", "/teachers/0/model"])


def test_missing_teacher_is_named(client: Client, distillation: Json) -> None:
    body = distillation | {"teachers": [{"model": "mdl_x"}]}
    assert _refusal(client, body) == ("model_not_found", ["/teachers/0/model"])


def test_teacher_that_is_validating_is_not_ready(
    client: Client, rows: Rows, distillation: Json
) -> None:
    body = distillation | {"teachers": [{"model": rows.validating_model()}]}
    assert _refusal(client, body) == ("model_not_ready", ["/teachers/0/model"])


def test_rejected_teacher_is_refused(client: Client, rows: Rows, distillation: Json) -> None:
    body = distillation | {"teachers": [{"model": rows.rejected_model()}]}
    assert _refusal(client, body) == ("model_rejected", ["/teachers/0/model"])


def test_dataset_that_is_validating_is_not_ready(client: Client, distillation: Json) -> None:
    body = distillation | {"dataset": "digits"}  # no worker has prepared it
    assert _refusal(client, body) == ("dataset_not_ready", ["/dataset"])


def test_labels_beyond_the_teachers_outputs_are_refused(
    client: Client, rows: Rows, distillation: Json
) -> None:
    body = distillation | {"dataset": rows.ready_dataset(num_classes=5)}
    assert _refusal(client, body) == ("teacher_classes_mismatch", ["/teachers/0/model"])


def test_teacher_for_other_images_is_refused(
    client: Client, rows: Rows, distillation: Json
) -> None:
    teacher = rows.ready_model(input={"channels": 4, "height": 8, "width": 8})
    body = distillation | {"teachers": [{"model": teacher}]}
    code, pointers = _refusal(client, body)
    assert (code, pointers) == ("teacher_input_mismatch", ["/teachers/0/model"])


def test_assistant_that_cannot_be_built_is_named(client: Client, distillation: Json) -> None:
    pools = [{"layer": "pool", "size": 4}, {"layer": "pool", "size": 4}]
    deep = {"architecture": "cnn", "layers": [{"layer": "conv", "channels": 4}, *pools]}
    body = distillation | {"assistants": [{"architecture": "mlp", "hidden": [8]}, deep]}
    assert _refusal(client, body)[1] == ["/assistants/1/layers/2"]


def test_classes_in_another_order_are_refused(
    client: Client, rows: Rows, distillation: Json
) -> None:
    teacher = rows.ready_model(class_names=["a", "c", "b"])
    body = distillation | {"teachers": [{"model": teacher}]}
    assert _refusal(client, body)[0] == "teacher_class_names_mismatch"


def test_excluded_class_that_is_not_there_is_refused(client: Client, distillation: Json) -> None:
    body = distillation | {"transfer": {"exclude_classes": [7]}}
    assert _refusal(client, body) == ("unknown_class", ["/transfer/exclude_classes"])


def test_fitting_transfer_set_passes(client: Client, rows: Rows, distillation: Json) -> None:
    body = distillation | {"transfer": {"dataset": rows.ready_dataset()}}
    assert client.post("/v1/jobs/validate", json=body).status_code == 200


def test_transfer_set_is_looked_up_like_the_dataset(client: Client, distillation: Json) -> None:
    body = distillation | {"transfer": {"dataset": "dts_x"}}
    assert _refusal(client, body) == ("dataset_not_found", ["/transfer/dataset"])
    body = distillation | {"transfer": {"dataset": "digits"}}  # no worker has prepared it
    assert _refusal(client, body) == ("dataset_not_ready", ["/transfer/dataset"])
    body |= {"dataset": "dts_x"}
    assert _refusal(client, body) == ("dataset_not_found", ["/dataset", "/transfer/dataset"])


def test_transfer_set_of_another_workspace_is_not_there(
    client: Client, stranger: Client, rows: Rows, distillation: Json
) -> None:
    body = distillation | {"transfer": {"dataset": rows.ready_dataset()}}
    assert _refusal(stranger, body) == (
        "dataset_not_found",
        ["/dataset", "/transfer/dataset", "/teachers/0/model"],
    )


def test_transfer_set_of_another_shape_is_refused(
    client: Client, rows: Rows, distillation: Json
) -> None:
    body = distillation | {"transfer": {"dataset": rows.ready_dataset(channels=3)}}
    assert _refusal(client, body) == ("transfer_shape_mismatch", ["/transfer/dataset"])


def test_transfer_set_of_other_classes_must_be_unlabelled(
    client: Client, rows: Rows, distillation: Json
) -> None:
    other = rows.ready_dataset(num_classes=5)
    body = distillation | {"transfer": {"dataset": other}}
    assert _refusal(client, body) == ("transfer_classes_mismatch", ["/transfer/dataset"])
    unlabelled = distillation | {
        "transfer": {"dataset": other, "unlabeled": True},
        "method": {"name": "logit_kd", "ce_weight": 0.0},
        "control": False,
    }
    assert client.post("/v1/jobs/validate", json=unlabelled).status_code == 200


@pytest.mark.parametrize("kind", ["train", "distill"])
def test_layer_that_does_not_fit_is_named(client: Client, distillation: Json, kind: str) -> None:
    pools = [{"layer": "pool", "size": 4}, {"layer": "pool", "size": 4}]
    cnn = {"architecture": "cnn", "layers": pools}
    body: Json = distillation | {"student": cnn}
    field = "student"
    if kind == "train":
        field = "network"
        body = {"kind": "train", "dataset": distillation["dataset"], "network": cnn}
    assert _refusal(client, body) == ("layer_does_not_fit", [f"/{field}/layers/1"])


def test_layer_in_an_impossible_place_is_named(client: Client, distillation: Json) -> None:
    layers = [{"layer": "linear", "features": 4}, {"layer": "conv", "channels": 4}]
    body = distillation | {"student": {"architecture": "cnn", "layers": layers}}
    code, pointers = _refusal(client, body)
    assert code == "validation_failed"
    assert pointers == ["/student/layers/1"]


def test_peer_that_does_not_fit_is_named(client: Client, distillation: Json) -> None:
    deep = {"architecture": "cnn", "layers": [{"layer": "pool"}] * 6}
    method = {"name": "mutual_learning", "peers": [MLP, deep]}
    body = distillation | {"teachers": [], "method": method}
    assert _refusal(client, body) == ("layer_does_not_fit", ["/method/peers/1/layers/3"])


def test_peers_that_fit_pass_without_a_teacher(client: Client, distillation: Json) -> None:
    body = distillation | {"teachers": [], "method": {"name": "mutual_learning", "peers": [MLP]}}
    assert client.post("/v1/jobs/validate", json=body).status_code == 200


def test_grey_images_do_not_suit_torchvision(client: Client, distillation: Json) -> None:
    body = distillation | {"student": {"architecture": "torchvision/resnet18"}}
    assert _refusal(client, body) == ("image_channels_mismatch", ["/student/architecture"])


def test_network_of_billions_is_refused_without_building_it(
    client: Client, distillation: Json
) -> None:
    body = distillation | {"student": {"architecture": "mlp", "hidden": [65_536] * 8}}
    assert _refusal(client, body) == ("network_too_large", ["/student"])


def test_calibration_of_a_class_that_is_not_there_is_refused(
    client: Client, distillation: Json
) -> None:
    offsets = [{"label": 7, "offset": 3.5}]
    body = distillation | {"calibration": {"rule": "fixed", "offsets": offsets}}
    assert _refusal(client, body) == ("unknown_class", ["/calibration/offsets"])


def test_calibration_by_validation_without_a_hold_out_is_refused(
    client: Client, distillation: Json
) -> None:
    body = distillation | {"calibration": {"rule": "best_on_validation", "classes": [1]}}
    assert _refusal(client, body) == ("validation_failed", ["/transfer/validation_fraction"])


def test_prior_that_is_no_distribution_is_placed(client: Client, distillation: Json) -> None:
    body = distillation | {"calibration": {"rule": "match_prior", "prior": [0.5, 0.2, 0.2]}}
    assert _refusal(client, body) == ("validation_failed", ["/calibration/prior"])


class TestEvaluation:
    @pytest.fixture
    def evaluation(self, rows: Rows) -> Json:
        """An evaluation whose dataset and models are ready and fit."""
        return {
            "kind": "evaluate",
            "dataset": rows.ready_dataset(),
            "models": [{"model": rows.ready_model()}, {"model": rows.ready_model()}],
        }

    def test_fitting_evaluation_is_created_and_listed_by_its_kind(
        self, client: Client, evaluation: Json
    ) -> None:
        created = client.post("/v1/jobs", json=evaluation)
        assert created.status_code == 201, created.text
        assert created.json()["kind"] == "evaluate"
        assert created.json()["spec"]["average"] == "probabilities"
        listed = client.get("/v1/jobs?kind=evaluate").json()["items"]
        assert [job["id"] for job in listed] == [created.json()["id"]]

    def test_models_are_described_and_nothing_is_trained(
        self, client: Client, evaluation: Json
    ) -> None:
        forecast = client.post("/v1/jobs/validate", json=evaluation).json()
        wanted = [member["model"] for member in evaluation["models"]]
        assert [model["model"] for model in forecast["models"]] == wanted
        assert (forecast["teachers"], forecast["student"], forecast["network"]) == ([], None, None)
        assert forecast["estimate"]["memory_bytes_at_least"] == 2 * 4 * 8515

    def test_every_model_that_is_missing_is_named(self, client: Client, evaluation: Json) -> None:
        body = evaluation | {"models": [{"model": "mdl_x"}, {"model": "mdl_y"}]}
        pointers = ["/models/0/model", "/models/1/model"]
        assert _refusal(client, body) == ("model_not_found", pointers)

    def test_model_for_other_images_is_refused(
        self, client: Client, rows: Rows, evaluation: Json
    ) -> None:
        other = rows.ready_model(input={"channels": 4, "height": 8, "width": 8})
        body = evaluation | {"models": [evaluation["models"][0], {"model": other}]}
        assert _refusal(client, body) == ("model_input_mismatch", ["/models/1/model"])

    @pytest.mark.parametrize("field", ["training", "network", "student", "exports"])
    def test_fields_of_training_mean_nothing(
        self, client: Client, evaluation: Json, field: str
    ) -> None:
        assert _refusal(client, evaluation | {field: {}}) == ("validation_failed", [f"/{field}"])

    @pytest.mark.parametrize("count", [0, 17])
    def test_one_to_sixteen_models_are_taken(
        self, client: Client, evaluation: Json, count: int
    ) -> None:
        body = evaluation | {"models": [evaluation["models"][0]] * count}
        assert _refusal(client, body) == ("validation_failed", ["/models"])

    def test_an_evaluation_makes_no_model(
        self, client: Client, evaluation: Json, rows: Rows
    ) -> None:
        job_id = client.post("/v1/jobs", json=evaluation).json()["id"]
        answer = client.post("/v1/models", json={"name": "m", "job_id": job_id})
        assert answer.status_code == 422
        assert answer.json()["code"] == "artifact_not_found"
