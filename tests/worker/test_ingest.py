"""Strangers' checkpoints and datasets end as ready, rejected with a reason, or left to a retry."""

import errno
import io
import pickle
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from sqlalchemy import update

from kdcore.catalog.layer_shapes import layer_shapes
from kdcore.models import build_network
from kdcore.spec import ImageInput, Mlp, NetworkDescription, parse_network
from kdstore import datasets
from kdstore.db import SessionFactory, now, transaction
from kdstore.errors import StorageUnavailable
from kdstore.objects import Check, ObjectStore, go_on
from kdstore.objects.opening import open_store
from kdstore.queue import VALIDATE_MODEL
from kdstore.tables import Model
from tests.worker.jobs_on_digits import (
    TIMEOUT_SECONDS,
    JobBook,
    both_databases,
    open_book,
    small_job,
    wait_until,
)
from tests.worker.strangers import Strangers, two_class_npz, zip_of_text
from tests.worker.worker_in_process import Outbox
from worker.ingest import validate
from worker.runtime import Runtime
from worker.supervisor import run_next
from worker.sweeper import sweep

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


def validate_now(runtime: Runtime, model_id: str) -> None:
    """Validate a model, whose next try may be put off, without waiting for that."""
    with transaction(runtime.session_factory) as session:
        session.execute(update(Model).values(claimable_at=now(session)))
    validate(runtime, "model", model_id)


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

    def test_upload_whose_object_is_gone_waits_for_it_to_come_back(
        self, runtime: Runtime, strangers: Strangers, weights: dict[str, torch.Tensor]
    ) -> None:
        model_id = strangers.model(save_safetensors(weights))
        (key,) = runtime.objects.list_keys("blobs")
        data = runtime.objects.get_bytes(key)
        runtime.objects.delete(key)
        for _ in range(4):
            validate_now(runtime, model_id)
            model = strangers.read_model(model_id)
            assert (model.status, model.lease_expires_at) == ("validating", None)
        runtime.objects.put_bytes(key, data)
        validate_now(runtime, model_id)
        assert strangers.read_model(model_id).status == "ready"

    def test_upload_whose_bytes_have_changed_is_rejected_with_that(
        self, runtime: Runtime, strangers: Strangers
    ) -> None:
        model_id = strangers.model(b"GGUF" + bytes(64))
        for key in runtime.objects.list_keys("blobs"):
            runtime.objects.put_bytes(key, b"GGUF" + bytes(63) + b"1")
        for _ in range(3):
            validate_now(runtime, model_id)
        problem = strangers.read_model(model_id).problem
        assert problem is not None
        assert problem["code"] == "input_damaged"

    def test_row_tells_while_a_reader_is_at_the_file(
        self, runtime: Runtime, strangers: Strangers, weights: dict[str, torch.Tensor]
    ) -> None:
        model_id = strangers.model(save_safetensors(weights))
        validation = threading.Thread(target=validate, args=(runtime, "model", model_id))
        validation.start()
        wait_until(lambda: strangers.read_model(model_id).reading_number == 1)
        validation.join()
        model = strangers.read_model(model_id)
        assert (model.status, model.reading_number) == ("ready", None)

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


class StoreThatIsAway(ObjectStore):
    """A store that cannot be read while it is away, nor while the disk here is full."""

    is_away = True
    is_full = False

    def download(self, key: str, path: Path, *, check: Check = go_on) -> str:
        if self.is_full:
            raise OSError(errno.ENOSPC, "no space left on device")
        if self.is_away:
            raise StorageUnavailable("away", key=key)
        return super().download(key, path, check=check)


class TestFailuresOfTheSystem:
    @pytest.fixture
    def object_store(self) -> StoreThatIsAway:
        return StoreThatIsAway(open_store("memory://"))

    @pytest.fixture(autouse=True)
    def _short_patience(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("worker.ingest._FETCH_SECONDS", 0.3)

    @both_databases
    @pytest.mark.parametrize("is_full", [False, True], ids=["storage away", "disk full"])
    def test_good_model_outlives_as_many_as_come(
        self,
        runtime: Runtime,
        strangers: Strangers,
        weights: dict[str, torch.Tensor],
        object_store: StoreThatIsAway,
        is_full: bool,
    ) -> None:
        model_id = strangers.model(save_safetensors(weights))
        object_store.is_full = is_full
        for number in range(1, 6):
            validate_now(runtime, model_id)
            sweep(runtime)
            model = strangers.read_model(model_id)
            assert (model.status, model.validation_number) == ("validating", number)
        object_store.is_away = object_store.is_full = False
        validate_now(runtime, model_id)
        assert strangers.read_model(model_id).status == "ready"

    def test_storage_that_is_away_for_a_moment_is_waited_for(
        self,
        runtime: Runtime,
        strangers: Strangers,
        weights: dict[str, torch.Tensor],
        object_store: StoreThatIsAway,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("worker.ingest._FETCH_SECONDS", TIMEOUT_SECONDS)
        model_id = strangers.model(save_safetensors(weights))
        validation = threading.Thread(target=validate, args=(runtime, "model", model_id))
        validation.start()
        wait_until(lambda: strangers.read_model(model_id).lease_expires_at is not None)
        object_store.is_away = False
        validation.join()
        assert strangers.read_model(model_id).status == "ready"

    def test_worker_that_stops_while_storage_is_away_hands_its_validation_back(
        self, runtime: Runtime, strangers: Strangers, outbox: Outbox
    ) -> None:
        model_id = strangers.model(b"GGUF" + bytes(64))
        runtime.stopping.set()
        validate(runtime, "model", model_id)
        model = strangers.read_model(model_id)
        assert (model.lease_expires_at, model.claimable_at) == (None, None)
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
