"""A folder of artifacts is checked against its manifest, with errors of the client's tree."""

from pathlib import Path

import pytest

from kdclient import FolderDamaged, verify_manifest
from kdcore.manifest import ManifestDataset, build_manifest
from kdcore.spec import parse_job
from tests.kdclient.reports import ENVIRONMENT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files and their manifest."""
    (tmp_path / "network.safetensors").write_bytes(b"weights")
    (tmp_path / "network.json").write_text("{}")
    network = {"architecture": "mlp", "hidden": [8]}
    manifest = build_manifest(
        tmp_path,
        spec=parse_job({"kind": "train", "dataset": "digits", "network": network}),
        environment=ENVIRONMENT,
        teachers=(),
        dataset=ManifestDataset(dataset="digits", splits={}),
    )
    (tmp_path / "manifest.json").write_text(manifest.model_dump_json())
    return tmp_path


def test_whole_folder_gives_its_manifest(folder: Path) -> None:
    manifest = verify_manifest(folder)
    assert [file.name for file in manifest.files] == ["network.json", "network.safetensors"]


def test_changed_and_missing_files_are_named(folder: Path) -> None:
    (folder / "network.safetensors").write_bytes(b"weightz")
    (folder / "network.json").unlink()
    with pytest.raises(FolderDamaged, match=r"network\.safetensors") as caught:
        verify_manifest(folder)
    assert caught.value.missing == ("network.json",)
    assert caught.value.changed == ("network.safetensors",)


def test_folder_without_a_manifest_is_damaged(tmp_path: Path) -> None:
    with pytest.raises(FolderDamaged, match=r"manifest\.json"):
        verify_manifest(tmp_path)
