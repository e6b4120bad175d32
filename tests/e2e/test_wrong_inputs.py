"""Wrong inputs to the whole service: each is refused, names its place, and says what to do."""

import io
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from kdclient import ApiProblem, Potstill, ResourceRejected
from kdclient.resources import Dataset
from tests.e2e.conftest import Json, Teacher

pytestmark = pytest.mark.xdist_group("e2e")  # one service for all of them

IMAGE_INPUT = {"channels": 1, "height": 8, "width": 8}


def reject_model(
    client: Potstill, teacher: Teacher, data: bytes, folder: Path, *, hidden: int = 48
) -> ResourceRejected:
    """Upload bytes as a teacher; give the rejection."""
    path = folder / "teacher.safetensors"  # what it is, is told by its bytes
    path.write_bytes(data)
    model = client.create_model(
        "a stranger",
        upload_id=client.upload(path, "checkpoint").id,
        architecture={"architecture": "mlp", "hidden": [hidden]},
        image_input=IMAGE_INPUT,
    )
    with pytest.raises(ResourceRejected) as caught:
        client.wait_until_ready(model)
    return caught.value


def make_dataset(client: Potstill, folder: Path, *, num_classes: int) -> Dataset:
    """Upload 20 small images of each class as npz."""
    labels = np.repeat(np.arange(num_classes), 20)
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 8, 8), dtype=np.uint8)
    path = folder / f"{num_classes}.npz"
    np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels)
    upload = client.upload(path, "dataset")
    return client.create_dataset("noise", upload_id=upload.id, format="npz")


@pytest.fixture(scope="module")
def weights(teacher: Teacher) -> bytes:
    """A good safetensors file."""
    return (teacher.folder / "network.safetensors").read_bytes()


class TestTeachers:
    def test_pickle_is_refused_and_never_run(
        self, client: Potstill, teacher: Teacher, tmp_path: Path
    ) -> None:
        canary = tmp_path / "canary"
        rejected = reject_model(client, teacher, pickle.dumps(_Trap(canary)), tmp_path)
        assert rejected.code == "checkpoint_is_pickle"
        assert "safetensors.torch.save_file" in rejected.detail
        assert not canary.exists()

    def test_torchscript_is_refused(
        self, client: Potstill, teacher: Teacher, tmp_path: Path
    ) -> None:
        buffer = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch itself advises against TorchScript
            torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), buffer)
        rejected = reject_model(client, teacher, buffer.getvalue(), tmp_path)
        assert rejected.code == "checkpoint_is_torchscript"
        assert "save" in rejected.detail

    def test_truncated_safetensors_is_refused(
        self, client: Potstill, teacher: Teacher, weights: bytes, tmp_path: Path
    ) -> None:
        rejected = reject_model(client, teacher, weights[:-100], tmp_path)
        assert rejected.code == "checkpoint_truncated"
        assert "Upload" in rejected.detail

    def test_weights_of_another_width_name_the_tensor_and_both_shapes(
        self, client: Potstill, teacher: Teacher, weights: bytes, tmp_path: Path
    ) -> None:
        rejected = reject_model(client, teacher, weights, tmp_path, hidden=32)
        assert rejected.code == "tensor_shape_mismatch"
        assert "weight" in rejected.message
        assert "48" in rejected.message
        assert "32" in rejected.message

    def test_unknown_architecture_names_the_field(self, client: Potstill) -> None:
        with pytest.raises(ApiProblem) as caught:
            client.create_model(
                "a stranger",
                upload_id="upl_1",
                architecture={"architecture": "transformer"},
                image_input=IMAGE_INPUT,
            )
        assert caught.value.status == 422
        assert caught.value.errors[0].pointer == "/architecture/architecture"
        assert "mlp" in caught.value.errors[0].message


class TestDatasets:
    def test_one_class_is_refused(self, client: Potstill, tmp_path: Path) -> None:
        dataset = make_dataset(client, tmp_path, num_classes=1)
        with pytest.raises(ResourceRejected) as caught:
            client.wait_until_ready(dataset)
        assert caught.value.code == "one_class"
        assert "Add examples of another class" in caught.value.detail

    def test_labels_beyond_the_teachers_outputs_name_the_teacher(
        self, client: Potstill, teacher: Teacher, tmp_path: Path
    ) -> None:
        dataset = client.wait_until_ready(make_dataset(client, tmp_path, num_classes=12))
        with pytest.raises(ApiProblem) as caught:
            client.create_job(spec_of(teacher) | {"dataset": dataset.id})
        [problem] = caught.value.errors
        assert (caught.value.status, problem.pointer) == (422, "/teachers/0/model")
        assert "10 outputs" in problem.message
        assert "12 classes" in problem.message


class TestSpecs:
    @pytest.mark.parametrize(
        ("change", "pointer", "advice"),
        [
            ({"method": {"name": "magic"}}, "/method/name", "Choose one of"),
            ({"method": {"name": "logit_kd", "temperature": 0}}, "/method/temperature", "than 0"),
            ({"method": {"name": "logit_kd", "temperature": -4}}, "/method/temperature", "than 0"),
            (
                {"method": {"name": "logit_matching", "temperature": 4}},
                "/method/temperature",
                "Remove it",
            ),
            ({"metod": {"name": "logit_kd"}}, "/metod", "Did you mean 'method'?"),
            ({"dataset": "dts_nowhere"}, "/dataset", "dts_nowhere"),
            ({"teachers": [{"model": "mdl_nowhere"}]}, "/teachers/0/model", "mdl_nowhere"),
            ({"student": {"architecture": "mlp"}}, "/student/hidden", "required"),
        ],
    )
    @pytest.mark.parametrize("ask", ["create_job", "validate_job"])
    def test_wrong_field_is_named_with_what_to_do(
        self,
        client: Potstill,
        teacher: Teacher,
        change: Json,
        pointer: str,
        advice: str,
        ask: str,
    ) -> None:
        with pytest.raises(ApiProblem) as caught:
            getattr(client, ask)(spec_of(teacher) | change)
        problem = caught.value
        assert problem.status == 422
        assert [each.pointer for each in problem.errors] == [pointer]
        assert advice in problem.errors[0].message
        assert problem.request_id is not None

    def test_nothing_of_it_became_a_job(self, client: Potstill, teacher: Teacher) -> None:
        before = [job.id for job in client.jobs()]
        with pytest.raises(ApiProblem):
            client.create_job(spec_of(teacher) | {"method": {"name": "magic"}})
        assert [job.id for job in client.jobs()] == before


def spec_of(teacher: Teacher) -> Json:
    return {
        "kind": "distill",
        "dataset": "digits",
        "teachers": [{"model": teacher.model.id}],
        "student": {"architecture": "mlp", "hidden": [4]},
        "method": {"name": "logit_kd", "temperature": 4},
    }


class _Trap:
    """Touches a file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self._canary = canary

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self._canary,)
