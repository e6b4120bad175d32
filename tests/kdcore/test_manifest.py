"""The manifest of a folder of artifacts, and what it finds."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kdcore.errors import ArtifactsDamaged
from kdcore.export import write_manifest
from kdcore.manifest import (
    MANIFEST_NAME,
    Manifest,
    ManifestAttempt,
    ManifestDataset,
    ManifestNetwork,
    ManifestSplit,
    build_manifest,
    verify_manifest,
)
from kdcore.report import Environment
from kdcore.spec import DistillJob, Mlp, TeacherReference

CONTENTS = {"student.safetensors": b"weights", "metrics.csv": b"run,name\n", "empty.log": b""}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in CONTENTS.items():
        (tmp_path / name).write_bytes(content)
    write_manifest(tmp_path, _build(tmp_path))
    return tmp_path


def _build(folder: Path) -> Manifest:
    split = ManifestSplit(num_examples=3, images_sha256="1" * 64, labels_sha256="2" * 64)
    return build_manifest(
        folder,
        spec=DistillJob(
            dataset="dts_1",
            teachers=(TeacherReference(model="mdl_1"),),
            student=Mlp(hidden=(4,)),
            tags={"team": "vision"},
        ),
        environment=Environment(
            device="cpu",
            device_name="Some CPU",
            num_threads=2,
            precision="float32",
            seed=5,
            versions={"torch": "2.13.0"},
            revision="a" * 40,
        ),
        teachers=[ManifestNetwork(model="mdl_1", sha256="3" * 64)],
        dataset=ManifestDataset(dataset="dts_1", splits={"train": split, "test": split}),
        attempts=[
            ManifestAttempt(
                number=1,
                worker="w1",
                device="cpu",
                started_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
                ended_at=None,
                exit_cause=None,
                resumed_from_step=40,
            )
        ],
        job_id="job_1",
    )


def test_manifest_lists_every_file_but_itself_with_size_and_sha256(folder: Path) -> None:
    found = {file.name: (file.size_bytes, file.sha256) for file in _build(folder).files}

    assert found == {
        name: (len(content), hashlib.sha256(content).hexdigest())
        for name, content in CONTENTS.items()
    }


def test_unfinished_files_are_not_listed(folder: Path) -> None:
    (folder / ".student.onnx.k3j").write_bytes(b"half")

    assert {file.name for file in _build(folder).files} == set(CONTENTS)


def test_manifest_reads_back_as_it_was_written(folder: Path) -> None:
    assert verify_manifest(folder) == _build(folder)


def test_document_holds_the_resolved_spec_the_seed_and_the_digests(folder: Path) -> None:
    document = json.loads((folder / MANIFEST_NAME).read_text())

    assert document["spec"]["training"]["batch_size"] == 128
    assert document["environment"]["seed"] == 5
    assert document["teachers"] == [{"model": "mdl_1", "sha256": "3" * 64}]
    assert document["dataset"]["splits"]["test"]["images_sha256"] == "1" * 64
    assert document["attempts"][0]["started_at"] == "2026-01-02T03:04:05Z"
    assert document["job_id"] == "job_1"


class TestVerifyManifest:
    @pytest.mark.parametrize("name", ["student.safetensors", "metrics.csv"])
    def test_changed_byte_is_found(self, folder: Path, name: str) -> None:
        content = bytearray((folder / name).read_bytes())
        content[-1] ^= 1
        (folder / name).write_bytes(content)

        with pytest.raises(ArtifactsDamaged, match=name) as caught:
            verify_manifest(folder)

        assert (caught.value.changed, caught.value.missing) == ((name,), ())

    def test_missing_and_longer_files_are_told_apart(self, folder: Path) -> None:
        (folder / "metrics.csv").unlink()
        (folder / "empty.log").write_bytes(b"x")

        with pytest.raises(ArtifactsDamaged) as caught:
            verify_manifest(folder)

        assert (caught.value.changed, caught.value.missing) == (("empty.log",), ("metrics.csv",))

    def test_file_that_is_not_listed_does_no_harm(self, folder: Path) -> None:
        (folder / "notes.txt").write_text("mine")

        verify_manifest(folder)

    def test_folder_without_manifest_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ArtifactsDamaged) as caught:
            verify_manifest(tmp_path)

        assert caught.value.missing == (MANIFEST_NAME,)

    @pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/b", ".hidden", "..", ""])
    def test_manifest_cannot_point_outside_the_folder(self, folder: Path, name: str) -> None:
        _edit(folder, lambda document: document["files"][0].update(name=name))

        with pytest.raises(ArtifactsDamaged) as caught:
            verify_manifest(folder)

        assert caught.value.changed == (MANIFEST_NAME,)

    def test_manifest_that_is_cut_short_is_refused(self, folder: Path) -> None:
        path = folder / MANIFEST_NAME
        path.write_bytes(path.read_bytes()[:-20])

        with pytest.raises(ArtifactsDamaged):
            verify_manifest(folder)


def test_client_can_verify_without_torch() -> None:
    program = "import sys, kdcore.manifest; print('torch' in sys.modules, 'numpy' in sys.modules)"

    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert answer.stdout.strip() == "False False"


def _edit(folder: Path, change: Callable[[dict[str, list[dict[str, str]]]], None]) -> None:
    path = folder / MANIFEST_NAME
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
