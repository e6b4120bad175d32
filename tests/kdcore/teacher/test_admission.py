"""Teachers are let in by what they know of the dataset, or refused with both class lists."""

# H height, W width, C channels

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from kdcore.data import ArrayDataset, ArraySplit, DatasetDescription, ImageShape, SplitDescription
from kdcore.devices import Compute
from kdcore.errors import IncompatibleInputs
from kdcore.models import Classifier
from kdcore.spec import DistillJob, ImageInput, Mlp, NetworkDescription, parse_job
from kdcore.teacher import AdmittedTeacher, Teacher, Teachers, admit_teachers

IMAGE = ImageInput(channels=1, height=1, width=1)
NAMES = ("cat", "dog", "horse")
COMPUTE = Compute(torch.device("cpu"), "float32", num_threads=1)
ON_LAYERS_ALONE = {"name": "rkd", "kd_weight": 0}


class _PixelReader(nn.Module):
    """Takes an image of brightness i for class i + `shift`."""

    def __init__(self, shift: int) -> None:
        super().__init__()
        self.shift = shift

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        labels_B = (images_BCHW.flatten() * 255).round().long() + self.shift
        return nn.functional.one_hot(labels_B % 3, 3).float()


@pytest.fixture
def dataset() -> ArrayDataset:
    labels_N = np.repeat(np.arange(3), 40)
    split = ArraySplit(labels_N.astype(np.uint8).reshape(-1, 1, 1, 1), labels_N)
    described = SplitDescription(
        num_examples=120,
        class_counts=(40, 40, 40),
        images_sha256="0" * 64,
        labels_sha256="0" * 64,
    )
    description = DatasetDescription.model_validate(
        {
            "name": "pixels",
            "class_names": NAMES,
            "image": ImageShape(channels=1, height=1, width=1),
            "splits": {"train": described, "test": described},
            "mean": (0.0,),
            "std": (1.0,),
        }
    )
    return ArrayDataset(description, split, split)


def teachers(*shifts: int, names: tuple[str, ...] = NAMES, num_classes: int = 3) -> Teachers:
    description = NetworkDescription(
        architecture=Mlp(hidden=(4,)), input=IMAGE, num_classes=num_classes, class_names=names
    )
    return Teachers(
        members=tuple(Teacher(Classifier(_PixelReader(shift), IMAGE)) for shift in shifts),
        descriptions=(description,) * len(shifts),
        sha256=("0" * 64,) * len(shifts),
    )


def job(num_teachers: int = 1, **changes: Any) -> DistillJob:
    document = {
        "kind": "distill",
        "dataset": "pixels",
        "teachers": [{"model": f"mdl_{number}"} for number in range(num_teachers)],
        "student": {"architecture": "mlp", "hidden": [4]},
    }
    parsed = parse_job(document | changes)
    assert isinstance(parsed, DistillJob)
    return parsed


def admit(
    dataset: ArrayDataset,
    them: Teachers,
    spec: DistillJob,
    *,
    transfer_dataset: ArrayDataset | None = None,
) -> tuple[AdmittedTeacher, ...]:
    return admit_teachers(them, spec, dataset, COMPUTE, transfer_dataset=transfer_dataset)


def shifted(dataset: ArrayDataset) -> ArrayDataset:
    """Give the same images with each label one higher."""
    train = dataset.train
    return replace(dataset, train=ArraySplit(train.images_NHWC, (train.labels_N + 1) % 3))


def test_good_teacher_is_let_in_and_its_accuracy_told(dataset: ArrayDataset) -> None:
    (seen,) = admit(dataset, teachers(0), job())
    assert seen.check is not None
    assert seen.check.balanced_accuracy == 1.0
    assert seen.has_classes
    assert seen.message == (
        "teacher: balanced accuracy 100.00% on 120 images of the train split, where guessing "
        "has 33.33%"
    )


def test_teacher_is_measured_on_the_set_that_is_learned_from(dataset: ArrayDataset) -> None:
    spec = job(transfer={"dataset": "other"})
    admit(shifted(dataset), teachers(0), spec, transfer_dataset=dataset)
    with pytest.raises(IncompatibleInputs):
        admit(dataset, teachers(0), spec, transfer_dataset=shifted(dataset))


def test_no_label_of_an_unlabelled_transfer_set_is_read(dataset: ArrayDataset) -> None:
    spec = job(
        transfer={"dataset": "other", "unlabeled": True},
        method={"name": "logit_matching"},
        control=False,
    )
    (seen,) = admit(dataset, teachers(0), spec, transfer_dataset=shifted(dataset))
    assert seen.check is not None
    assert seen.check.balanced_accuracy == 1.0


def test_teacher_near_chance_is_refused_with_both_class_lists(dataset: ArrayDataset) -> None:
    with pytest.raises(IncompatibleInputs) as raised:
        admit(dataset, teachers(1), job())
    error = raised.value
    assert (error.code, error.pointer) == ("teacher_near_chance", "/teachers/0/model")
    assert "are [cat, dog, horse], the dataset's are [cat, dog, horse]" in error.message
    assert "0.00% on 120 images" in error.message


def test_refused_teacher_without_names_is_said_to_have_none(dataset: ArrayDataset) -> None:
    with pytest.raises(
        IncompatibleInputs, match=r"^The teacher knows .* Its classes are not named"
    ):
        admit(dataset, teachers(1, names=()), job())


def test_each_of_several_teachers_is_measured(dataset: ArrayDataset) -> None:
    with pytest.raises(IncompatibleInputs) as raised:
        admit(dataset, teachers(0, 2), job(2))
    assert raised.value.pointer == "/teachers/1/model"
    assert raised.value.message.startswith("Teacher 2 knows hardly more")
    seen = admit(dataset, teachers(0, 0), job(2))
    assert [each.message.split(":")[0] for each in seen] == ["teacher_1", "teacher_2"]


def test_weak_teacher_may_be_let_in_with_a_warning(dataset: ArrayDataset) -> None:
    (seen,) = admit(dataset, teachers(1), job(on_weak_teacher="warn"))
    assert seen.check is not None
    assert seen.has_classes
    assert "near chance" in seen.message


def test_unlabelled_run_looks_at_no_label(dataset: ArrayDataset) -> None:
    soft_only = {"name": "logit_kd", "ce_weight": 0}
    spec = job(transfer={"unlabeled": True}, method=soft_only, control=False)
    (seen,) = admit(dataset, teachers(1), spec)
    assert seen == AdmittedTeacher(
        None,
        has_classes=True,
        message="teacher: not measured beforehand, for that takes labels of two classes",
    )


class TestMethodOnLayersAlone:
    def test_teacher_of_other_classes_is_let_in_without_scores(self, dataset: ArrayDataset) -> None:
        them = teachers(0, names=("a", "b", "c", "d"), num_classes=4)
        (seen,) = admit(dataset, them, job(method=ON_LAYERS_ALONE))
        assert (seen.check, seen.has_classes) == (None, False)
        assert "other classes" in seen.message

    def test_teacher_near_chance_is_let_in_as_one_of_another_task(
        self, dataset: ArrayDataset
    ) -> None:
        (seen,) = admit(dataset, teachers(1), job(method=ON_LAYERS_ALONE))
        assert not seen.has_classes
        assert "near chance" in seen.message

    def test_teacher_of_the_same_task_has_scores(self, dataset: ArrayDataset) -> None:
        (seen,) = admit(dataset, teachers(0), job(method=ON_LAYERS_ALONE))
        assert seen.has_classes
