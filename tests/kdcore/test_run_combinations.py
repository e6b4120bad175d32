"""Every method with every kind of transfer set: it trains, or is refused before that."""

import csv
import math
from pathlib import Path
from typing import Any

import pytest

from kdcore.catalog.methods import MethodEntry, methods
from kdcore.data import ArrayDataset
from kdcore.data.transfer import select_examples
from kdcore.errors import IncompatibleInputs, SpecInvalid
from kdcore.job_runs import describe_network
from kdcore.run import TeacherInput
from kdcore.spec import DistillJob, TransferSpec
from tests.kdcore.small_jobs import parse_distillation, run_job, untrained

Json = dict[str, Any]  # documents of any shape

LAYERS = [
    {"layer": "conv", "channels": 4},
    {"layer": "conv", "channels": 4},
    {"layer": "norm"},
    {"layer": "activation"},
    {"layer": "pool"},
    {"layer": "conv", "channels": 6},
    {"layer": "conv", "channels": 6},
    {"layer": "activation"},
    {"layer": "pool"},
]
# Ends in BatchNorm on maps of 1x1.
LAYERS_TO_ONE_PLACE = [
    *LAYERS,
    {"layer": "pool"},
    {"layer": "conv", "channels": 8},
    {"layer": "norm"},
    {"layer": "activation"},
]
SPEC: Json = {
    "kind": "distill",
    "dataset": "digits",
    "on_weak_teacher": "warn",
    "student": {"architecture": "cnn", "layers": LAYERS},
    "training": {"num_epochs": 1, "batch_size": 32, "optimizer": {"name": "adam"}},
    "control": False,
    "evaluation": {"latency": False},
    "exports": ["safetensors"],
}
LABELLED: dict[str, Json] = {
    "cutmix of some classes": {
        "fraction": 0.2,
        "exclude_classes": [0, 1, 2, 9],
        "mix": {"name": "cutmix"},
    },
    "mixup of another dataset": {"dataset": "other", "fraction": 0.1, "mix": {"name": "mixup"}},
    "some classes of another dataset": {
        "dataset": "other",
        "fraction": 0.2,
        "exclude_classes": [0, 1, 2, 9],
    },
}
UNLABELLED: dict[str, Json] = {
    "unlabelled": {"fraction": 0.1, "unlabeled": True},
    "mixup of an unlabelled dataset": {
        "dataset": "other",
        "fraction": 0.1,
        "unlabeled": True,
        "mix": {"name": "mixup"},
    },
}
WITHOUT_A_TEACHER = {"mutual_learning", "self_distillation"}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory, digits: ArrayDataset) -> TeacherInput:
    """A teacher whose channels are those of the student: it fits every method."""
    spec = parse(methods()[0].name, {})
    return untrained(tmp_path_factory.mktemp("teacher"), describe_network(spec, digits))


def parse(name: str, transfer: Json, **changes: Any) -> DistillJob:
    has_teacher = name not in WITHOUT_A_TEACHER
    document: Json = {
        "teachers": [{"model": "teacher"}] if has_teacher else [],
        "method": {"name": name, "ce_weight": 0.0, "kd_weight": 1.0}
        if has_teacher and transfer.get("unlabeled")
        else {"name": name},
        "transfer": transfer,
    }
    if name == "self_distillation":
        document["control"] = True
    return parse_distillation(SPEC | document | changes)


def losses_of(
    folder: Path, spec: DistillJob, digits: ArrayDataset, teacher: TeacherInput
) -> list[float]:
    run_job(
        folder,
        digits,
        [teacher] if spec.teachers else [],
        spec,
        transfer_dataset=digits if spec.transfer.dataset else None,
    )
    with (folder / "artifacts" / "metrics.csv").open() as file:
        return [float(row["value"]) for row in csv.DictReader(file) if row["name"] == "loss"]


def combinations(transfers: dict[str, Json]) -> list[Any]:
    return [
        pytest.param(entry, transfer, id=f"{entry.name}, {name}")
        for entry in methods()
        for name, transfer in transfers.items()
    ]


@pytest.mark.parametrize(("entry", "transfer"), combinations(LABELLED))
def test_labelled_transfer_set(
    tmp_path: Path,
    digits: ArrayDataset,
    teacher: TeacherInput,
    entry: MethodEntry,
    transfer: Json,
) -> None:
    if "mix" in transfer and entry.name == "crd":
        with pytest.raises(SpecInvalid, match=r"transfer\.mix is"):
            parse(entry.name, transfer)
        return
    losses = losses_of(tmp_path, parse(entry.name, transfer), digits, teacher)
    assert losses
    assert all(map(math.isfinite, losses))


@pytest.mark.parametrize(("entry", "transfer"), combinations(UNLABELLED))
def test_unlabelled_transfer_set(
    tmp_path: Path,
    digits: ArrayDataset,
    teacher: TeacherInput,
    entry: MethodEntry,
    transfer: Json,
) -> None:
    is_refused = entry.name in {"dkd", *WITHOUT_A_TEACHER}
    if is_refused or ("mix" in transfer and entry.name == "crd"):
        with pytest.raises(SpecInvalid) as refused:
            parse(entry.name, transfer)
        assert any(problem.pointer.startswith("/transfer/") for problem in refused.value.problems)
        return
    losses = losses_of(tmp_path, parse(entry.name, transfer), digits, teacher)
    assert losses
    assert all(map(math.isfinite, losses))


@pytest.mark.parametrize("entry", methods(), ids=lambda entry: entry.name)
def test_last_batch_of_a_single_image_is_no_harm_to_batch_norm(
    tmp_path: Path, digits: ArrayDataset, entry: MethodEntry
) -> None:
    """The student's BatchNorm is on maps of 1x1, where one image has no variance."""
    student = {"architecture": "cnn", "layers": LAYERS_TO_ONE_PLACE}
    transfer = {"fraction": 0.1}
    num_images = len(
        select_examples(digits.train.labels_N, TransferSpec.model_validate(transfer), seed=0)
    )
    spec = parse(
        entry.name,
        transfer,
        student=student,
        training=SPEC["training"] | {"batch_size": num_images - 1},
    )
    teacher = untrained(tmp_path, describe_network(spec, digits))

    losses = losses_of(tmp_path, spec, digits, teacher)

    assert losses
    assert all(map(math.isfinite, losses))


@pytest.mark.parametrize("name", ["logit_kd", "simkd", "mutual_learning"])
def test_batches_of_one_image_are_refused_where_batch_norm_has_one_place(
    tmp_path: Path, digits: ArrayDataset, name: str
) -> None:
    student = {"architecture": "cnn", "layers": LAYERS_TO_ONE_PLACE}
    spec = parse(
        name, {"fraction": 0.01}, student=student, training=SPEC["training"] | {"batch_size": 1}
    )
    teacher = untrained(tmp_path, describe_network(spec, digits))

    with pytest.raises(IncompatibleInputs) as refused:
        losses_of(tmp_path, spec, digits, teacher)

    assert (refused.value.code, refused.value.pointer) == (
        "batch_of_one_image",
        "/training/batch_size",
    )
    assert not list((tmp_path / "checkpoints").glob("*.safetensors"))
