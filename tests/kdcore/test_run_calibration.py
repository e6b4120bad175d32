"""Whole jobs with a class left out and its bias shifted afterwards."""

# N images, C classes

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from kdcore.checkpoints import read_safetensors
from kdcore.data import ArrayDataset, ArraySplit
from kdcore.errors import IncompatibleInputs
from kdcore.export import load_network
from kdcore.report import CalibrationReport
from kdcore.run import RunResult, TeacherInput
from kdcore.spec import parse_job, parse_network
from tests.kdcore.small_jobs import differing, parse_distillation, run_job, weights

OMITTED = 3
SPEC: dict[str, Any] = {
    "kind": "distill",
    "dataset": "digits",
    "teachers": [{"model": "teacher"}],
    "student": {"architecture": "mlp", "hidden": [48]},
    "method": {"name": "logit_kd", "temperature": 8, "ce_weight": 0.0, "kd_weight": 1.0},
    "transfer": {"exclude_classes": [OMITTED], "validation_fraction": 0.2},
    "training": {"num_epochs": 15, "batch_size": 64, "optimizer": {"name": "adam"}},
    "evaluation": {"latency": False, "every_epochs": 100, "splits": ["train", "test"]},
    "exports": ["safetensors"],
}
FIXED = {"rule": "fixed", "offsets": [{"label": OMITTED, "offset": 2.5}]}
MATCHED = {"rule": "match_prior", "classes": [OMITTED]}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory, digits: ArrayDataset) -> TeacherInput:
    folder = tmp_path_factory.mktemp("teacher")
    spec = {
        "kind": "train",
        "dataset": "digits",
        "network": {"architecture": "mlp", "hidden": [64]},
        "training": {"num_epochs": 20, "batch_size": 64},
        "evaluation": {"latency": False, "every_epochs": 100},
        "exports": ["safetensors"],
    }
    run_job(folder, digits, [], parse_job(spec))
    network = folder / "artifacts" / "network.json"
    return TeacherInput(parse_network(network.read_text()), network.with_suffix(".safetensors"))


def distilled(
    folder: Path, dataset: ArrayDataset, teacher: TeacherInput, **changes: Any
) -> RunResult:
    return run_job(folder, dataset, [teacher], parse_distillation(SPEC | changes))


@pytest.fixture(scope="module")
def plain(
    tmp_path_factory: pytest.TempPathFactory, digits: ArrayDataset, teacher: TeacherInput
) -> tuple[Path, RunResult]:
    """The job without a calibration."""
    folder = tmp_path_factory.mktemp("plain")
    return folder, distilled(folder, digits, teacher)


@pytest.fixture(scope="module")
def matched(
    tmp_path_factory: pytest.TempPathFactory, digits: ArrayDataset, teacher: TeacherInput
) -> tuple[Path, RunResult]:
    """The job with the omitted class at its share of the images."""
    folder = tmp_path_factory.mktemp("matched")
    return folder, distilled(folder, digits, teacher, calibration=MATCHED)


@pytest.fixture(scope="module")
def fixed(
    tmp_path_factory: pytest.TempPathFactory, digits: ArrayDataset, teacher: TeacherInput
) -> tuple[Path, RunResult]:
    """The job with a declared offset, in every format."""
    folder = tmp_path_factory.mktemp("fixed")
    exports = ["safetensors", "onnx", "torch_export"]
    return folder, distilled(folder, digits, teacher, calibration=FIXED, exports=exports)


def calibration_of(result: RunResult) -> CalibrationReport:
    assert result.report.calibration is not None
    return result.report.calibration


def images_BCHW(split: ArraySplit) -> torch.Tensor:
    return torch.from_numpy(np.array(split.images_NHWC)).permute(0, 3, 1, 2).float() / 255


def share_right(result: RunResult, name: str) -> float:
    share = result.report.columns[name].splits["test"].per_class_accuracy[OMITTED]
    assert share is not None
    return share


def test_prior_matching_brings_the_omitted_class_back(
    digits: ArrayDataset, plain: tuple[Path, RunResult], matched: tuple[Path, RunResult]
) -> None:
    folder, result = matched
    before, after = share_right(plain[1], "student"), share_right(result, "student")
    assert before < 0.6
    assert after > 0.8
    classifier = load_network(folder / "artifacts", run="student")
    train = digits.split("train")
    with torch.no_grad():
        mean_C = classifier(images_BCHW(train)).double().softmax(dim=1).mean(dim=0)
    prior = np.mean(train.labels_N == OMITTED)
    assert float(mean_C[OMITTED]) == pytest.approx(float(prior), abs=1e-6)


def test_report_tells_scores_before_and_after_and_the_offsets_of_each_run(
    plain: tuple[Path, RunResult], matched: tuple[Path, RunResult]
) -> None:
    report = calibration_of(matched[1])

    assert report.rule == "match_prior"
    assert list(report.offsets) == list(report.before) == ["student", "control"]
    assert report.offsets["student"][OMITTED] != report.offsets["control"][OMITTED]
    for name in ("student", "control"):
        assert [bool(offset) for offset in report.offsets[name]] == [
            label == OMITTED for label in range(10)
        ]
        for split in ("train", "test"):
            uncalibrated = plain[1].report.columns[name].splits[split]
            assert report.before[name][split].confusion_matrix == uncalibrated.confusion_matrix
            assert report.before[name][split].cross_entropy == pytest.approx(
                uncalibrated.cross_entropy, rel=1e-5
            )
    assert plain[1].report.calibration is None


def test_every_exported_file_answers_with_the_offsets(
    digits: ArrayDataset, plain: tuple[Path, RunResult], fixed: tuple[Path, RunResult]
) -> None:
    folder, result = fixed
    images = images_BCHW(digits.split("test"))
    offsets_C = torch.tensor(calibration_of(result).offsets["student"])
    assert offsets_C[OMITTED] == 2.5
    artifacts = folder / "artifacts"
    session = onnxruntime.InferenceSession(artifacts / "student.onnx")
    with torch.no_grad():
        wanted = load_network(plain[0] / "artifacts", run="student")(images) + offsets_C
        answers = [
            load_network(artifacts, run="student")(images),
            torch.export.load(artifacts / "student.pt2").module()(images),
            torch.from_numpy(session.run(["logits"], {"images": images.numpy()})[0]),
        ]
    for answer in answers:
        torch.testing.assert_close(answer, wanted, rtol=1e-4, atol=1e-4)
    control = load_network(artifacts, run="control")
    with torch.no_grad():
        num_errors = int(
            (control(images).argmax(dim=1).numpy() != digits.split("test").labels_N).sum()
        )
    assert result.report.columns["control"].splits["test"].num_errors == num_errors


def test_only_the_biases_of_the_last_layer_change(
    plain: tuple[Path, RunResult], fixed: tuple[Path, RunResult]
) -> None:
    assert differing(weights(plain[0]), weights(fixed[0])) == ["classifier.bias"]


@pytest.mark.parametrize("rule", ["match_prior", "best_on_validation"])
def test_no_rule_looks_at_the_test_split(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput, rule: str
) -> None:
    """Another test split, of noise with labels that are all wrong, changes no offset."""
    noise = np.random.default_rng(0).integers(0, 256, digits.test.images_NHWC.shape, dtype=np.uint8)
    other = replace(digits, test=ArraySplit(noise, (digits.test.labels_N + 1) % 10))
    calibration = {"rule": rule, "classes": [OMITTED]}

    found = [
        calibration_of(
            distilled(tmp_path / name, dataset, teacher, calibration=calibration, control=False)
        )
        for name, dataset in (("own", digits), ("other", other))
    ]

    assert found[0].offsets == found[1].offsets
    assert found[0].before != found[1].before


def test_prior_matching_looks_at_no_label_of_the_omitted_class(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    """Which images are the omitted ones is known to nobody: their labels may be anyone's."""
    train = digits.split("train")
    in_no_batch_N = train.labels_N == OMITTED
    calibration = {"rule": "match_prior", "prior": "uniform", "classes": [OMITTED]}
    transfer = {"exclude_classes": [OMITTED, 9], "unlabeled": True}
    swapped_N = np.where(in_no_batch_N, 9, np.where(train.labels_N == 9, OMITTED, train.labels_N))
    other = replace(digits, train=ArraySplit(train.images_NHWC, swapped_N))

    found = [
        calibration_of(
            distilled(
                tmp_path / name,
                dataset,
                teacher,
                calibration=calibration,
                transfer=transfer,
                control=False,
            )
        )
        for name, dataset in (("own", digits), ("swapped", other))
    ]

    assert found[0].offsets == found[1].offsets


def test_best_on_validation_is_best_on_the_images_held_out(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput, plain: tuple[Path, RunResult]
) -> None:
    calibration = {"rule": "best_on_validation"}
    result = distilled(tmp_path, digits, teacher, calibration=calibration, control=False)

    offsets = calibration_of(result).offsets["student"]
    assert [label for label, offset in enumerate(offsets) if offset] == [OMITTED]
    assert share_right(result, "student") > share_right(plain[1], "student")


@pytest.mark.parametrize("rule", ["match_prior", "best_on_validation"])
def test_student_with_a_reused_classifier_is_calibrated_in_that(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput, rule: str
) -> None:
    calibration = {"rule": rule, "classes": [OMITTED]}
    # Labels that never say so teach the student that there is no such class.
    method = {"name": "simkd", "ce_weight": 1.0}
    result = distilled(
        tmp_path, digits, teacher, method=method, calibration=calibration, control=False
    )

    report = calibration_of(result)
    before = report.before["student"]["test"].per_class_accuracy[OMITTED]
    assert before is not None
    assert share_right(result, "student") > before
    theirs, _ = read_safetensors(teacher.weights)
    student = weights(tmp_path)
    assert torch.equal(student["classifier.weight"], theirs["classifier.weight"])
    shift_C = student["classifier.bias"].double() - theirs["classifier.bias"].double()
    offsets_C = torch.tensor(report.offsets["student"], dtype=torch.float64)
    assert offsets_C[OMITTED] > 0
    torch.testing.assert_close(shift_C, offsets_C, rtol=0, atol=1e-6)


def test_transfer_images_alone_hold_no_omitted_one(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    share = 1e-3
    prior = [share if label == OMITTED else (1 - share) / 9 for label in range(10)]
    calibration = {"rule": "match_prior", "images": "transfer", "prior": prior}
    result = distilled(
        tmp_path, digits, teacher, calibration=calibration | {"classes": [OMITTED]}, control=False
    )

    classifier = load_network(tmp_path / "artifacts", run="student")
    train = digits.split("train")
    with torch.no_grad():
        p_NC = classifier(images_BCHW(train)).double().softmax(dim=1)
    kept = p_NC[torch.from_numpy(train.labels_N != OMITTED)]
    # The validation images are not among them, so this is near, not equal.
    assert float(kept[:, OMITTED].mean()) == pytest.approx(share, rel=0.5)
    assert result.report.calibration is not None


def test_pages_show_the_calibration(fixed: tuple[Path, RunResult]) -> None:
    artifacts = fixed[0] / "artifacts"
    page = (artifacts / "report.html").read_text()
    # Before and after, of student and control, on two splits.
    assert page.count('class="heat"') == 8
    assert "+2.500" in page
    assert "## Calibration of class biases" in (artifacts / "model_card.md").read_text()
    assert '"rule": "fixed"' in (artifacts / "manifest.json").read_text()


def test_label_that_is_not_there_is_refused_before_training(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    calibration = {"rule": "fixed", "offsets": [{"label": 10, "offset": 1.0}]}
    with pytest.raises(IncompatibleInputs, match="labels are 0 to 9"):
        distilled(tmp_path, digits, teacher, calibration=calibration)
    assert not (tmp_path / "checkpoints").exists()
