"""Strangers' checkpoints and datasets end as ready, rejected with a reason, or left to a retry."""

import io
import pickle
import threading

import pytest
import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors

from kdcore.catalog.layer_shapes import layer_shapes
from kdcore.models import build_network
from kdcore.spec import ImageInput, Mlp, NetworkDescription, parse_network
from kdstore import datasets
from kdstore.db import SessionFactory, transaction
from kdstore.objects import ObjectStore
from kdstore.queue import VALIDATE_MODEL
from tests.worker.jobs_on_digits import JobBook, both_databases, open_book, small_job, wait_until
from tests.worker.strangers import Strangers, two_class_npz, zip_of_text
from tests.worker.worker_in_process import Outbox
from worker.ingest import validate
from worker.runtime import Runtime
from worker.supervisor import run_next

DESCRIPTION = NetworkDescription(
    architecture=Mlp(hidden=(16,)),
    input=ImageInput(channels=1, height=8, width=8),
    num_classes=10,
)


@pytest.fixture
def strangers(session_factory: SessionFactory, object_store: ObjectStore) -> Strangers:
    workspace_id = open_book(session_factory).workspace_id
    return Strangers(session_factory, object_store, workspace_id)


@pytest.fixture
def weights() -> dict[str, torch.Tensor]:
    return dict(build_network(DESCRIPTION, seed=1).state_dict())


def as_pth(weights: dict[str, torch.Tensor]) -> bytes:
    file = io.BytesIO()
    torch.save(weights, file)
    return file.getvalue()


class TestModels:
    @both_databases
    def test_safetensors_becomes_a_model_that_is_known_in_full(
        self, runtime: Runtime, strangers: Strangers, weights: dict[str, torch.Tensor]
    ) -> None:
        model_id = strangers.model(save_safetensors(weights))
        validate(runtime, "model", model_id)
        model = strangers.read_model(model_id)
        assert (model.status, model.problem, model.format) == ("ready", None, "safetensors")
        assert (model.parameters, model.flops) == (
            64 * 16 + 16 + 16 * 10 + 10,
            2 * (64 * 16 + 16 * 10),
        )
        assert model.description is not None
        assert model.description["num_classes"] == 10
        expected = layer_shapes(parse_network(model.description))
        assert expected is not None
        assert model.layers == [
            {"name": layer.name, "shape": list(layer.shape)} for layer in expected
        ]
        assert model.object_key is not None
        stored = load_safetensors(runtime.objects.get_bytes(model.object_key))
        assert all(torch.equal(stored[name], tensor) for name, tensor in weights.items())

    def test_pth_of_the_same_weights_is_stored_only_once(
        self, runtime: Runtime, strangers: Strangers, weights: dict[str, torch.Tensor]
    ) -> None:
        model_ids = [strangers.model(save_safetensors(weights)), strangers.model(as_pth(weights))]
        for model_id in model_ids:
            validate(runtime, "model", model_id)
        first, second = (strangers.read_model(model_id) for model_id in model_ids)
        assert (first.format, second.format) == ("safetensors", "torch_zip")
        assert first.object_key == second.object_key
        assert len(list(runtime.objects.list_keys("models"))) == 1

    def test_pickle_is_rejected_with_the_way_to_save_it(
        self, runtime: Runtime, strangers: Strangers
    ) -> None:
        model_id = strangers.model(pickle.dumps({"weight": [1.0, 2.0]}, protocol=4))
        validate(runtime, "model", model_id)
        model = strangers.read_model(model_id)
        assert model.status == "rejected"
        assert model.problem is not None
        assert model.problem["code"] == "checkpoint_is_pickle"
        assert "safetensors" in model.problem["message"]
        assert list(runtime.objects.list_keys("models")) == []

    def test_wrong_shape_is_rejected_with_tensor_expected_and_found(
        self, runtime: Runtime, strangers: Strangers, weights: dict[str, torch.Tensor]
    ) -> None:
        wide = {"architecture": "mlp", "hidden": [17]}
        model_id = strangers.model(save_safetensors(weights), architecture=wide)
        validate(runtime, "model", model_id)
        problem = strangers.read_model(model_id).problem
        assert problem is not None
        assert problem["code"] == "tensor_shape_mismatch"
        assert [detail.split(":")[0] for detail in problem["details"]] == [
            "tensor",
            "expected",
            "found",
        ]

    def test_what_a_job_trained_becomes_a_model(
        self, runtime: Runtime, strangers: Strangers, book: JobBook
    ) -> None:
        job_id = book.create(small_job())
        run_next(runtime)
        model_id = strangers.model_of_job(job_id)
        validate(runtime, "model", model_id)
        model = strangers.read_model(model_id)
        assert (model.status, model.problem) == ("ready", None)
        assert model.description is not None
        assert model.description["class_names"] == [str(digit) for digit in range(10)]

    def test_upload_whose_object_is_gone_is_left_to_another_try(
        self, runtime: Runtime, strangers: Strangers, weights: dict[str, torch.Tensor]
    ) -> None:
        model_id = strangers.model(save_safetensors(weights))
        runtime.objects.delete_prefix("blobs")
        validate(runtime, "model", model_id)
        model = strangers.read_model(model_id)
        assert model.status == "validating"
        assert model.lease_expires_at is not None

    def test_second_message_of_a_decided_model_changes_nothing(
        self, runtime: Runtime, strangers: Strangers
    ) -> None:
        model_id = strangers.model(b"GGUF" + bytes(64))
        validate(runtime, "model", model_id)
        decided_at = strangers.read_model(model_id).decided_at
        validate(runtime, "model", model_id)
        model = strangers.read_model(model_id)
        assert (model.validation_number, model.decided_at) == (1, decided_at)

    def test_worker_that_stops_hands_its_validation_back(
        self,
        runtime: Runtime,
        strangers: Strangers,
        weights: dict[str, torch.Tensor],
        outbox: Outbox,
    ) -> None:
        model_id = strangers.model(save_safetensors(weights))
        validation = threading.Thread(target=validate, args=(runtime, "model", model_id))
        validation.start()
        wait_until(lambda: strangers.read_model(model_id).lease_expires_at is not None)
        runtime.stopping.set()
        validation.join()
        model = strangers.read_model(model_id)
        assert (model.status, model.lease_expires_at) == ("validating", None)
        assert outbox.sent == [(VALIDATE_MODEL, model_id)]


class TestDatasets:
    def test_npz_becomes_a_canonical_dataset_with_thumbnails(
        self, runtime: Runtime, strangers: Strangers
    ) -> None:
        dataset_id = strangers.dataset(two_class_npz())
        validate(runtime, "dataset", dataset_id)
        dataset = strangers.read_dataset(dataset_id)
        assert (dataset.status, dataset.problem) == ("ready", None)
        assert dataset.description is not None
        assert dataset.description["splits"]["train"]["class_counts"] == [20, 20]
        files = datasets.files_of(dataset)
        assert {file.name for file in files} == {
            "dataset.json",
            "train-images.npy",
            "train-labels.npy",
            "test-images.npy",
            "test-labels.npy",
        }
        assert dataset.sha256 in {file.sha256 for file in files}
        assert dataset.thumbnails is not None
        for thumbnail in dataset.thumbnails:
            png = runtime.objects.get_bytes(thumbnail["object_key"])
            assert png.startswith(b"\x89PNG")
        assert [thumbnail["class_name"] for thumbnail in dataset.thumbnails] == ["0", "1"]

    def test_zip_without_images_is_rejected(self, runtime: Runtime, strangers: Strangers) -> None:
        dataset_id = strangers.dataset(zip_of_text(), source_format="image_folder_zip")
        validate(runtime, "dataset", dataset_id)
        dataset = strangers.read_dataset(dataset_id)
        assert dataset.status == "rejected"
        assert dataset.problem is not None
        assert dataset.problem["code"]

    def test_job_trains_on_an_uploaded_dataset(
        self, runtime: Runtime, strangers: Strangers, book: JobBook
    ) -> None:
        dataset_id = strangers.dataset(two_class_npz())
        validate(runtime, "dataset", dataset_id)
        job_id = book.create(small_job().model_copy(update={"dataset": dataset_id}))
        run_next(runtime)
        assert book.read(job_id).status == "succeeded"

    def test_builtin_digits_are_made_once(
        self, runtime: Runtime, strangers: Strangers, session_factory: SessionFactory
    ) -> None:
        for _ in range(2):
            with transaction(session_factory) as session:
                datasets.ensure_builtin(session, "digits")
            validate(runtime, "dataset", "digits")
        dataset = strangers.read_dataset("digits")
        assert (dataset.status, dataset.validation_number) == ("ready", 1)
        assert dataset.thumbnails is not None
        assert len(dataset.thumbnails) == 10
