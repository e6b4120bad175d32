"""Networks that are measured each alone and all together, without training."""

# K networks, N images, C classes

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kdcore.checkpoints import sha256_of
from kdcore.data import ArrayDataset, ArraySplit
from kdcore.errors import IncompatibleInputs, Interrupted
from kdcore.job_runs import describe_network
from kdcore.manifest import verify_manifest
from kdcore.models import Classifier, build_network
from kdcore.progress import RunEvent, StageStarted
from kdcore.run import RunResult, TeacherInput
from kdcore.spec import EvaluateJob, TrainJob, parse_job
from tests.kdcore.small_jobs import run_job, untrained

SPEC: dict[str, Any] = {
    "kind": "evaluate",
    "name": "three together",
    "dataset": "digits",
    "models": [{"model": "a"}, {"model": "b", "weight": 2.0}, {"model": "c"}],
    "evaluation": {"latency": False, "splits": ["train", "test"]},
}


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory, digits: ArrayDataset) -> list[TeacherInput]:
    """Three networks, each of its own chance."""
    job = parse_job(
        {"kind": "train", "dataset": "d", "network": {"architecture": "mlp", "hidden": [32]}}
    )
    assert isinstance(job, TrainJob)
    description = describe_network(job, digits)
    folder = tmp_path_factory.mktemp("networks")
    return [untrained(folder, description, seed=seed, name=f"{seed}") for seed in range(3)]


def parse_spec(**changes: Any) -> EvaluateJob:
    job = parse_job(SPEC | changes)
    assert isinstance(job, EvaluateJob)
    return job


def evaluate(
    folder: Path, dataset: ArrayDataset, networks: list[TeacherInput], **changes: Any
) -> RunResult:
    return run_job(folder, dataset, networks, parse_spec(**changes))


def logits_KNC(networks: list[TeacherInput], split: ArraySplit) -> torch.Tensor:
    images_NCHW = torch.from_numpy(np.array(split.images_NHWC)).permute(0, 3, 1, 2).float() / 255
    answers = []
    for seed, one in enumerate(networks):
        network = build_network(one.description, seed=seed).eval()
        with torch.no_grad():
            answers.append(Classifier(network, one.description.input)(images_NCHW))
    return torch.stack(answers).double()


@pytest.mark.parametrize("average", ["probabilities", "logits"])
def test_ensemble_is_the_weighted_mean_of_its_networks(
    tmp_path: Path, digits: ArrayDataset, networks: list[TeacherInput], average: str
) -> None:
    report = evaluate(tmp_path, digits, networks, average=average).report

    assert list(report.columns) == ["network_1", "network_2", "network_3", "ensemble"]
    for name in ("train", "test"):
        split = digits.split("train" if name == "train" else "test")
        answers_KNC = logits_KNC(networks, split)
        weights_K11 = torch.tensor([0.25, 0.5, 0.25]).reshape(3, 1, 1)
        each_KNC = answers_KNC.softmax(dim=2) if average == "probabilities" else answers_KNC
        mean_NC = (weights_K11 * each_KNC).sum(dim=0)
        labels_N = torch.from_numpy(split.labels_N.copy())
        scores = report.columns["ensemble"].splits[name]
        assert scores.num_errors == int((mean_NC.argmax(dim=1) != labels_N).sum())
        for number, answers_NC in enumerate(answers_KNC, start=1):
            alone = report.columns[f"network_{number}"].splits[name]
            assert alone.num_errors == int((answers_NC.argmax(dim=1) != labels_N).sum())


def test_report_has_the_mean_of_the_networks_beside_their_ensemble(
    tmp_path: Path, digits: ArrayDataset, networks: list[TeacherInput]
) -> None:
    report = evaluate(tmp_path, digits, networks).report

    alone = [report.columns[f"network_{k}"].splits["test"].accuracy for k in (1, 2, 3)]
    assert report.mean_of_networks is not None
    assert report.mean_of_networks["test"].accuracy == pytest.approx(sum(alone) / 3)
    assert report.columns["ensemble"].parameters == 3 * report.columns["network_1"].parameters
    assert report.evaluated_weights == "as_given"


def test_one_network_has_no_ensemble(
    tmp_path: Path, digits: ArrayDataset, networks: list[TeacherInput]
) -> None:
    report = evaluate(tmp_path, digits, networks[:1], models=[{"model": "a"}]).report

    assert list(report.columns) == ["network_1"]
    assert report.mean_of_networks is None
    page = (tmp_path / "artifacts" / "report.html").read_text()
    assert "The network makes" in page


def test_artifacts_are_the_report_and_a_manifest_that_names_each_network(
    tmp_path: Path, digits: ArrayDataset, networks: list[TeacherInput]
) -> None:
    result = evaluate(tmp_path, digits, networks)

    names = ["manifest.json", "report.html", "report.json"]
    assert [artifact.name for artifact in result.artifacts] == names
    manifest = verify_manifest(tmp_path / "artifacts")
    assert [one.model for one in manifest.models] == ["a", "b", "c"]
    assert [one.sha256 for one in manifest.models] == [sha256_of(n.weights) for n in networks]
    assert manifest.spec == parse_spec()
    page = (tmp_path / "artifacts" / "report.html").read_text()
    assert "Evaluation report" in page
    assert "networks alone reach" in page
    assert "last epoch" not in page


def test_stages_are_told_and_a_stop_between_networks_is_heard(
    tmp_path: Path, digits: ArrayDataset, networks: list[TeacherInput]
) -> None:
    events: list[RunEvent] = []
    answers = iter([False, True])
    with pytest.raises(Interrupted):
        run_job(
            tmp_path,
            digits,
            networks,
            parse_spec(),
            events=events,
            should_stop=lambda: next(answers),
        )

    assert [e.stage for e in events if isinstance(e, StageStarted)] == ["preparing", "evaluating"]
    assert not (tmp_path / "artifacts").exists()


def test_network_for_other_classes_is_refused_with_its_place(
    tmp_path: Path, digits: ArrayDataset, networks: list[TeacherInput]
) -> None:
    other = networks[1].description.model_copy(update={"num_classes": 7, "class_names": ()})
    wrong = [networks[0], TeacherInput(other, networks[1].weights), networks[2]]

    with pytest.raises(IncompatibleInputs, match="The model has 7 outputs") as raised:
        evaluate(tmp_path, digits, wrong)

    assert raised.value.pointer == "/models/1/model"
    assert raised.value.code == "model_classes_mismatch"


def test_missing_network_is_refused(
    tmp_path: Path, digits: ArrayDataset, networks: list[TeacherInput]
) -> None:
    with pytest.raises(IncompatibleInputs, match="names 3 models and 2 were given"):
        evaluate(tmp_path, digits, networks[:2])
