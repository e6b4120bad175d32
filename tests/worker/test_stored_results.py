"""What a reader left is stored by what it is, and only if it is what it must be."""

import hashlib
from pathlib import Path

import pytest

from kdcore.spec import ImageInput, Mlp, NetworkDescription
from kdstore.objects import go_on
from worker.messages import Layer, ModelAccepted, ThumbnailFile
from worker.runtime import Runtime
from worker.stored_results import ReaderLied, store_dataset, store_weights

ACCEPTED = ModelAccepted(
    description=NetworkDescription(
        architecture=Mlp(hidden=(4,)),
        input=ImageInput(channels=1, height=8, width=8),
        num_classes=2,
    ),
    format="safetensors",
    parameters=1,
    flops=2,
    layers=(Layer(name="hidden.0", shape=(4,)),),
)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file of ours that a reader must not get hold of."""
    path = tmp_path / "secret"
    path.write_text("hunter2")
    return path


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "dataset"
    folder.mkdir()
    (folder / "dataset.json").write_text("{}")
    return folder


def test_weights_are_named_by_their_own_bytes(runtime: Runtime, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"weights")
    ready = store_weights(runtime, ACCEPTED, path, check=go_on)
    assert ready.sha256 == hashlib.sha256(b"weights").hexdigest()
    assert ready.size_bytes == 7
    assert runtime.objects.get_bytes(ready.object_key) == b"weights"


def test_what_is_stored_already_is_not_written_again(runtime: Runtime, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"weights")
    first = runtime.objects.head(store_weights(runtime, ACCEPTED, path, check=go_on).object_key)
    second = runtime.objects.head(store_weights(runtime, ACCEPTED, path, check=go_on).object_key)
    assert first == second


def test_weights_that_are_a_link_are_not_followed(
    runtime: Runtime, tmp_path: Path, secret: Path
) -> None:
    (tmp_path / "weights").symlink_to(secret)
    with pytest.raises(ReaderLied):
        store_weights(runtime, ACCEPTED, tmp_path / "weights", check=go_on)


def test_array_that_is_a_link_is_not_followed(
    runtime: Runtime, dataset: Path, secret: Path
) -> None:
    (dataset / "train-images.npy").symlink_to(secret)
    with pytest.raises(ReaderLied):
        store_dataset(runtime, dataset, thumbnails=(), thumbnail_folder=dataset, check=go_on)


def test_thumbnail_that_is_a_link_is_not_followed(
    runtime: Runtime, dataset: Path, tmp_path: Path, secret: Path
) -> None:
    thumbnail = ThumbnailFile(label=0, class_name="a")
    folder = tmp_path / "thumbnails"
    folder.mkdir()
    (folder / thumbnail.name).symlink_to(secret)
    with pytest.raises(ReaderLied):
        store_dataset(
            runtime, dataset, thumbnails=[thumbnail], thumbnail_folder=folder, check=go_on
        )
