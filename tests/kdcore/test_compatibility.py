"""Whether spec, dataset and teachers fit, told before anything is trained."""

from dataclasses import replace
from typing import Any

import pytest

from kdcore.compatibility import DatasetFacts, check_job_fits, has_classes, list_classes
from kdcore.errors import IncompatibleInputs
from kdcore.spec import AnyJob, ImageInput, Mlp, NetworkDescription, parse_job

DATASET = DatasetFacts(
    shape_CHW=(3, 32, 32),
    class_names=("cat", "dog", "horse"),
    train_counts=(5, 5, 5),
    splits=("train", "test"),
    images_sha256={"train": "1", "test": "2"},
)


def teacher(**changes: Any) -> NetworkDescription:
    fields: dict[str, Any] = {
        "architecture": Mlp(hidden=(8,)),
        "input": ImageInput(channels=3, height=32, width=32),
        "num_classes": 3,
    }
    return NetworkDescription(**(fields | changes))


def job(**changes: Any) -> AnyJob:
    return parse_job(
        {
            "kind": "distill",
            "dataset": "dts_1",
            "teachers": [{"model": "mdl_1"}],
            "student": {"architecture": "mlp", "hidden": [8]},
        }
        | changes
    )


def refusal(network: NetworkDescription | None = None, **changes: Any) -> IncompatibleInputs:
    with pytest.raises(IncompatibleInputs) as raised:
        check_job_fits(job(**changes), DATASET, [network or teacher()])
    return raised.value


def test_teacher_of_other_channels_is_refused_with_both_shapes() -> None:
    error = refusal(teacher(input=ImageInput(channels=1, height=28, width=28)))
    assert (error.code, error.pointer) == ("teacher_input_mismatch", "/teachers/0/model")
    assert "1x28x28" in error.message
    assert "3x32x32" in error.message


def test_teacher_of_another_size_fits() -> None:
    check_job_fits(job(), DATASET, [teacher(input=ImageInput(channels=3, height=224, width=96))])


def test_teacher_of_colours_fits_grey_images() -> None:
    grey = replace(DATASET, shape_CHW=(1, 28, 28))
    check_job_fits(job(), grey, [teacher()])


def test_teacher_of_other_classes_fits_a_method_that_reads_layers_alone() -> None:
    other = teacher(num_classes=2, class_names=("car", "ship"))
    alone = {"name": "rkd", "kd_weight": 0}
    check_job_fits(job(method=alone), DATASET, [other])
    assert refusal(other, method=alone | {"kd_weight": 1.0}).code == "teacher_classes_mismatch"


def test_teacher_whose_classifier_is_reused_has_the_datasets_classes() -> None:
    other = teacher(num_classes=2, class_names=("car", "ship"))
    assert refusal(other, method={"name": "simkd"}).code == "teacher_classes_mismatch"


def test_classes_of_a_teacher_are_compared_by_number_and_by_name() -> None:
    named = teacher(class_names=("cat", "dog", "horse"))
    assert has_classes(named, ("cat", "dog", "horse"))
    assert has_classes(named, ("0", "1", "2"))
    assert not has_classes(named, ("dog", "cat", "horse"))
    assert not has_classes(named, ("cat", "dog"))


def test_long_lists_of_classes_are_cut() -> None:
    assert list_classes(["a", "b"]) == "a, b"
    assert list_classes([str(label) for label in range(30)]).endswith("19, … 30 in all")


@pytest.mark.parametrize("num_classes", [2, 10])
def test_teacher_with_other_outputs_is_refused_with_both_counts(num_classes: int) -> None:
    error = refusal(teacher(num_classes=num_classes))
    assert error.code == "teacher_classes_mismatch"
    assert f"{num_classes} outputs" in error.message
    assert "labels 0 to 2" in error.message


def test_teacher_with_classes_in_another_order_is_refused_with_both_lists() -> None:
    error = refusal(teacher(class_names=("dog", "cat", "horse")))
    assert error.code == "teacher_class_names_mismatch"
    assert "dog, cat, horse" in error.message
    assert "cat, dog, horse" in error.message


@pytest.mark.parametrize("names", [(), ("0", "1", "2"), ("cat", "dog", "horse")])
def test_teacher_with_the_same_or_no_names_fits(names: tuple[str, ...]) -> None:
    check_job_fits(job(), DATASET, [teacher(class_names=names)])


def test_excluding_a_class_that_does_not_exist_is_refused() -> None:
    error = refusal(transfer={"exclude_classes": [3]})
    assert (error.code, error.pointer) == ("unknown_class", "/transfer/exclude_classes")


def fits(transfer: DatasetFacts, **fields: Any) -> None:
    job = parse_job(
        {
            "kind": "train",
            "dataset": "d",
            "network": {"architecture": "mlp", "hidden": [8]},
            "transfer": {"dataset": "other", **fields},
        }
    )
    check_job_fits(job, DATASET, [], transfer_dataset=transfer)


def transfer_refusal(transfer: DatasetFacts, **fields: Any) -> IncompatibleInputs:
    with pytest.raises(IncompatibleInputs) as raised:
        fits(transfer, **fields)
    return raised.value


def test_transfer_set_of_the_same_shape_and_classes_fits() -> None:
    fits(replace(DATASET, images_sha256={"train": "3", "test": "2"}))


@pytest.mark.parametrize("names", [("0", "1", "2"), ("cat", "dog", "horse")])
def test_transfer_set_without_names_fits(names: tuple[str, ...]) -> None:
    fits(replace(DATASET, class_names=names))


def test_transfer_set_of_another_shape_is_refused_with_both() -> None:
    error = transfer_refusal(replace(DATASET, shape_CHW=(1, 28, 28)))
    assert (error.code, error.pointer) == ("transfer_shape_mismatch", "/transfer/dataset")
    assert "1x28x28" in error.message
    assert "3x32x32" in error.message


@pytest.mark.parametrize("names", [("cat", "dog"), ("dog", "cat", "horse")])
def test_labelled_transfer_set_of_other_classes_is_refused_with_both(
    names: tuple[str, ...],
) -> None:
    error = transfer_refusal(replace(DATASET, class_names=names))
    assert (error.code, error.pointer) == ("transfer_classes_mismatch", "/transfer/dataset")
    assert ", ".join(names) in error.message
    assert "cat, dog, horse" in error.message


def test_left_out_classes_are_those_of_the_transfer_set() -> None:
    five = replace(DATASET, class_names=tuple("abcde"))
    job = parse_job(
        {
            "kind": "distill",
            "dataset": "d",
            "teachers": [{"model": "mdl_1"}],
            "student": {"architecture": "mlp", "hidden": [8]},
            "method": {"name": "logit_matching"},
            "transfer": {"dataset": "other", "unlabeled": True, "exclude_classes": [4]},
            "control": False,
        }
    )
    check_job_fits(job, DATASET, [teacher()], transfer_dataset=five)
    error = transfer_refusal(DATASET, exclude_classes=[3])
    assert (error.code, error.pointer) == ("unknown_class", "/transfer/exclude_classes")


def test_learning_from_the_test_split_is_refused() -> None:
    error = transfer_refusal(replace(DATASET, images_sha256={"train": "2", "test": "3"}))
    assert (error.code, error.pointer) == ("transfer_set_is_test_split", "/transfer/dataset")


def test_learning_from_the_hold_out_under_another_name_is_refused() -> None:
    same = replace(DATASET, images_sha256={"train": "1", "test": "3"})
    fits(same)
    error = transfer_refusal(same, validation_fraction=0.1)
    assert error.code == "transfer_set_holds_hold_out"


def test_excluding_every_class_is_refused() -> None:
    assert refusal(transfer={"exclude_classes": [0, 1, 2]}).code == "nothing_to_train_on"
