"""Lets teachers teach, or not: each one is measured before anything is trained."""

from dataclasses import dataclass

from kdcore.compatibility import has_classes, list_classes
from kdcore.data import ArrayDataset, ArraySplit
from kdcore.devices import Compute
from kdcore.errors import IncompatibleInputs
from kdcore.spec import DistillJob, NetworkDescription
from kdcore.teacher.check import TeacherCheck, check_teacher
from kdcore.teacher.teachers import Teachers


@dataclass(frozen=True)
class AdmittedTeacher:
    """What is known of a teacher before it teaches.

    Attributes:
        check: What it scores on the train split; None where that was not measured.
        has_classes: Whether it answers in the dataset's classes, so that scores mean something.
        message: The same for the log.
    """

    check: TeacherCheck | None
    has_classes: bool
    message: str


def admit_teachers(
    teachers: Teachers,
    spec: DistillJob,
    dataset: ArrayDataset,
    compute: Compute,
    *,
    transfer_dataset: ArrayDataset | None = None,
) -> tuple[AdmittedTeacher, ...]:
    """Measure every teacher, in order, and refuse one that is near chance.

    A method that reads no logits of its teacher may have one of another task; it is not refused.
    They are measured on the train split that is learned from, or, where that is a dataset of its
    own without labels, on the train split of the job's dataset. A run that learns from its own
    dataset unlabelled reads no label of it, so there its teachers are not measured.

    Raises:
        IncompatibleInputs: `teacher_near_chance`, with both class lists.
    """
    labelled = _labelled_split(spec, dataset, transfer_dataset)
    classes = dataset.description.class_names
    reads_logits = spec.method.reads_teacher_logits
    is_alone = len(teachers.members) == 1
    admitted = []
    for index, description in enumerate(teachers.descriptions):
        name = "teacher" if is_alone else f"teacher_{index + 1}"
        called = "The teacher" if is_alone else f"Teacher {index + 1}"
        if not has_classes(description, classes):
            message = f"{name}: has other classes than the dataset, so it gets no scores"
            admitted.append(AdmittedTeacher(None, has_classes=False, message=message))
            continue
        classifier = teachers.members[index].classifier
        check = None
        if labelled is not None:
            check = check_teacher(classifier, labelled, device=compute.device)
        is_weak = check is not None and check.is_near_chance
        if check is not None and is_weak and reads_logits and spec.on_weak_teacher == "refuse":
            raise _near_chance(check, description, classes, called=called, index=index)
        knows = reads_logits or not is_weak
        admitted.append(AdmittedTeacher(check, knows, f"{name}: {_says(check)}"))
    return tuple(admitted)


def _labelled_split(
    spec: DistillJob, dataset: ArrayDataset, transfer_dataset: ArrayDataset | None
) -> ArraySplit | None:
    if not spec.transfer.unlabeled:
        return (transfer_dataset or dataset).train
    return None if transfer_dataset is None else dataset.train


def _says(check: TeacherCheck | None) -> str:
    if check is None:
        return "not measured beforehand, for that takes labels of two classes"
    if not check.is_near_chance:
        return _score(check)
    return f"{_score(check)}: near chance, so its classes may be others, or in another order"


def _score(check: TeacherCheck) -> str:
    return (
        f"balanced accuracy {check.balanced_accuracy:.2%} on {check.num_images} images of the "
        f"train split, where guessing has {check.chance:.2%}"
    )


def _near_chance(
    check: TeacherCheck,
    description: NetworkDescription,
    classes: tuple[str, ...],
    *,
    called: str,
    index: int,
) -> IncompatibleInputs:
    own = f"[{list_classes(description.class_names)}]" if description.class_names else "not named"
    return IncompatibleInputs(
        "teacher_near_chance",
        f"{called} knows hardly more of the dataset than guessing: {_score(check)}. Its classes "
        f"are {own}, the dataset's are [{list_classes(classes)}]; output i must mean label i. Take "
        "another teacher, or one with this order of classes. If it is meant to be like this, set "
        'on_weak_teacher to "warn".',
        pointer=f"/teachers/{index}/model",
    )
