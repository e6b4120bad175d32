"""The work of a job is counted as the trainer does it."""

from typing import Any

import numpy as np
import pytest

from api.jobs.work import count_images, training_steps
from kdcore.data.transfer import select_examples
from kdcore.spec import DistillJob, TrainJob, TransferSpec, parse_job

COUNTS = (7, 31, 2, 50)
STUDENT = {"architecture": "mlp", "hidden": [8]}
DOCUMENT: dict[str, Any] = {
    "kind": "distill",
    "dataset": "digits",
    "teachers": [{"model": "mdl_1"}],
    "student": STUDENT,
    "training": {"num_epochs": 3, "batch_size": 30},
}


def steps(**changes: Any) -> int:
    job = parse_job(DOCUMENT | changes)
    assert isinstance(job, DistillJob)
    return training_steps(job, COUNTS)


@pytest.mark.parametrize(
    "transfer",
    [
        {},
        {"fraction": 0.3},
        {"exclude_classes": [1, 2]},
        {"validation_fraction": 0.2},
        {"validation_fraction": 0.5, "fraction": 0.25, "exclude_classes": [0]},
        {"dataset": "other", "validation_fraction": 0.5, "fraction": 0.5},
        {"unlabeled": True, "fraction": 0.3, "validation_fraction": 0.1},
        {"unlabeled": True, "exclude_classes": [3]},
    ],
)
def test_images_are_those_that_the_trainer_selects(transfer: dict[str, Any]) -> None:
    spec = TransferSpec.model_validate(transfer)
    labels_N = np.random.default_rng(0).permutation(np.repeat(np.arange(4), COUNTS))

    assert count_images(spec, COUNTS) == len(select_examples(labels_N, spec, seed=0))


def test_classes_left_out_of_an_unlabelled_part_count_in_the_mean() -> None:
    spec = TransferSpec(unlabeled=True, fraction=0.5, exclude_classes=(3,))

    assert count_images(spec, COUNTS) == 20


def test_every_run_takes_its_steps() -> None:
    assert steps(control=False) == 3 * 3
    assert steps() == 2 * 9
    assert steps(assistants=[STUDENT, STUDENT]) == 4 * 9
    born_again = {"name": "self_distillation", "generations": 3}
    assert steps(teachers=[], method=born_again) == 4 * 9
    alone = {"kind": "train", "dataset": "digits", "network": STUDENT}
    job = parse_job(alone | {"training": DOCUMENT["training"]})
    assert isinstance(job, TrainJob)
    assert training_steps(job, COUNTS) == 9


def test_peers_learn_in_the_steps_of_the_student() -> None:
    method = {"name": "mutual_learning", "num_peers": 4}
    assert steps(teachers=[], method=method) == 2 * 9


def test_control_takes_as_many_steps_as_all_stages() -> None:
    assert steps(method={"name": "fitnet"}) == 2 * (3 + 9)
    stages = [{"stage": "hint", "num_steps": 5}, {"stage": "training", "num_epochs": 1}]
    training = DOCUMENT["training"] | {"stages": stages}
    assert steps(method={"name": "fitnet"}, training=training, control=False) == 5 + 3
