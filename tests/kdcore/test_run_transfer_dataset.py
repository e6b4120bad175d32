"""Whole jobs that learn from a dataset of its own and are evaluated on another."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kdcore.data import ArrayDataset, ArraySplit
from kdcore.errors import IncompatibleInputs, Interrupted
from kdcore.manifest import verify_manifest
from kdcore.report import Report
from kdcore.run import TeacherInput
from tests.kdcore.small_jobs import differing, run_job, stop_at_question, weights
from tests.kdcore.transfer_jobs import SOFT_ONLY, job_runs, make_teacher, parse_spec


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory, digits: ArrayDataset) -> TeacherInput:
    return make_teacher(tmp_path_factory.mktemp("teacher"), digits)


@pytest.fixture(scope="module")
def negatives(digits: ArrayDataset) -> ArrayDataset:
    """Give the digits in white on black, with labels of two classes."""
    train = ArraySplit(255 - digits.train.images_NHWC[:500], digits.train.labels_N[:500] % 2)
    counts = np.bincount(train.labels_N)
    splits = dict(digits.description.splits)
    splits["train"] = splits["train"].model_copy(
        update={
            "num_examples": 500,
            "class_counts": tuple(counts.tolist()),
            "images_sha256": "0" * 64,
        }
    )
    description = digits.description.model_copy(
        update={"name": "negatives", "class_names": ("even", "odd"), "splits": splits}
    )
    return replace(digits, description=description, train=train)


UNLABELLED = {
    "method": SOFT_ONLY,
    "control": False,
    "student": {"architecture": "mlp", "hidden": [8]},
    "transfer": {"dataset": "negatives", "unlabeled": True, "validation_fraction": 0.1},
}


@pytest.mark.parametrize(
    "calibration",
    [{"rule": "none"}, {"rule": "match_prior", "images": "transfer", "prior": "uniform"}],
)
def test_student_learns_from_the_transfer_set_alone(
    tmp_path: Path,
    digits: ArrayDataset,
    teacher: TeacherInput,
    negatives: ArrayDataset,
    calibration: dict[str, Any],
) -> None:
    spec = parse_spec(**UNLABELLED, calibration=calibration)
    black = ArraySplit(np.zeros_like(digits.train.images_NHWC), digits.train.labels_N)
    run_job(tmp_path / "one", digits, [teacher], spec, transfer_dataset=negatives)
    blackened = replace(digits, train=black)
    run_job(tmp_path / "other", blackened, [teacher], spec, transfer_dataset=negatives)
    assert differing(weights(tmp_path / "one"), weights(tmp_path / "other")) == []
    own = parse_spec(**UNLABELLED | {"transfer": {"unlabeled": True}})
    run_job(tmp_path / "own", digits, [teacher], own)
    assert differing(weights(tmp_path / "one"), weights(tmp_path / "own")) != []


def test_results_name_both_datasets(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput, negatives: ArrayDataset
) -> None:
    run_job(tmp_path, digits, [teacher], parse_spec(**UNLABELLED), transfer_dataset=negatives)
    artifacts = tmp_path / "artifacts"
    manifest = verify_manifest(artifacts)
    assert manifest.dataset.dataset == "digits"
    assert manifest.transfer_dataset is not None
    assert manifest.transfer_dataset.dataset == "negatives"
    assert manifest.transfer_dataset.splits["train"].images_sha256 == "0" * 64
    report = Report.model_validate_json((artifacts / "report.json").read_bytes())
    assert (report.dataset, report.transfer_dataset) == ("digits", "negatives")
    assert report.columns["student"].splits["test"].num_examples == len(digits.test)
    assert "negatives for training" in (artifacts / "model_card.md").read_text()
    page = (artifacts / "report.html").read_text()
    assert page.index("Trained on") < page.index("negatives")


def test_hold_out_is_the_datasets_and_the_transfer_set_is_used_whole(
    digits: ArrayDataset, negatives: ArrayDataset
) -> None:
    job = job_runs(parse_spec(**UNLABELLED), digits, transfer_dataset=negatives)
    validation = job.validation()
    assert validation is not None
    share = np.bincount(validation.labels_N) / np.bincount(digits.train.labels_N)
    assert np.allclose(share, 0.1, atol=0.01)
    assert job.plan("student", {}).view.num_examples == 500
    assert job.transfer_split is negatives.train


def test_checkpoint_of_another_transfer_set_is_refused(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput, negatives: ArrayDataset
) -> None:
    spec = parse_spec(**UNLABELLED)
    with pytest.raises(Interrupted):
        run_job(
            tmp_path,
            digits,
            [teacher],
            spec,
            transfer_dataset=negatives,
            should_stop=stop_at_question(3),
        )
    splits = dict(negatives.description.splits)
    splits["train"] = splits["train"].model_copy(update={"images_sha256": "1" * 64})
    description = negatives.description.model_copy(update={"splits": splits})
    changed = replace(negatives, description=description)
    with pytest.raises(IncompatibleInputs, match="another spec"):
        run_job(tmp_path, digits, [teacher], spec, transfer_dataset=changed)


def test_transfer_set_is_given_exactly_if_it_is_named(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput, negatives: ArrayDataset
) -> None:
    for spec, given in ((parse_spec(**UNLABELLED), None), (parse_spec(), negatives)):
        with pytest.raises(IncompatibleInputs) as caught:
            run_job(tmp_path, digits, [teacher], spec, transfer_dataset=given)
        assert caught.value.code == "transfer_dataset_missing"
