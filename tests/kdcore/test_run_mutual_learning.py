"""Whole jobs in which networks learn from each other: without a teacher, stopped, resumed."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch

from kdcore.checkpoints import read_safetensors
from kdcore.data import ArrayDataset, builtin, load_dataset
from kdcore.errors import Interrupted, SpecInvalid
from kdcore.job_runs import describe_network
from kdcore.models import build_network
from kdcore.progress import Metrics, RunEvent
from kdcore.run import RunResult, never_stop, run
from kdcore.spec import DistillJob, parse_job

# BatchNorm and dropout: what they remember and draw is part of a resumed run.
NETWORK: dict[str, Any] = {
    "architecture": "cnn",
    "layers": [
        {"layer": "conv", "channels": 4},
        {"layer": "norm"},
        {"layer": "activation"},
        {"layer": "pool"},
        {"layer": "dropout", "probability": 0.2},
    ],
}
METHOD: dict[str, Any] = {
    "name": "mutual_learning",
    "peers": [NETWORK, {"architecture": "mlp", "hidden": [16]}],
}
SPEC: dict[str, Any] = {
    "kind": "distill",
    "dataset": "digits",
    "teachers": [],
    "student": NETWORK,
    "method": METHOD,
    "training": {"num_epochs": 2, "batch_size": 128},
    "evaluation": {"latency": False},
    "exports": ["safetensors"],
}


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> ArrayDataset:
    folder = tmp_path_factory.mktemp("data") / "digits"
    builtin("digits", folder)
    return load_dataset(folder)


def parse(**changes: Any) -> DistillJob:
    job = parse_job(SPEC | changes)
    assert isinstance(job, DistillJob)
    return job


def run_job(
    folder: Path,
    digits: ArrayDataset,
    spec: DistillJob,
    *,
    stop_at_question: int | None = None,
    events: list[RunEvent] | None = None,
) -> RunResult:
    questions = itertools.count(1)
    return run(
        spec,
        dataset=digits,
        folder=folder,
        device="cpu",
        num_threads=1,
        reporter=(events if events is not None else []).append,
        should_stop=(
            never_stop if stop_at_question is None else lambda: next(questions) >= stop_at_question
        ),
        checkpoint_seconds=1000.0,
    )


def weights(folder: Path, name: str = "student") -> dict[str, torch.Tensor]:
    tensors, _ = read_safetensors(folder / "artifacts" / f"{name}.safetensors")
    return tensors


def differing(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> list[str]:
    assert one.keys() == other.keys()
    return [name for name in one if not torch.equal(one[name], other[name])]


def test_job_stopped_three_times_ends_with_the_bits_of_an_undisturbed_one(
    tmp_path: Path, digits: ArrayDataset
) -> None:
    undisturbed = run_job(tmp_path / "undisturbed", digits, parse())
    for _ in range(3):
        with pytest.raises(Interrupted):
            run_job(tmp_path / "stopped", digits, parse(), stop_at_question=8)
    stopped = run_job(tmp_path / "stopped", digits, parse())

    assert differing(weights(tmp_path / "undisturbed"), weights(tmp_path / "stopped")) == []
    metrics = [
        (tmp_path / name / "artifacts" / "metrics.csv").read_text()
        for name in ("undisturbed", "stopped")
    ]
    assert metrics[0] == metrics[1]
    assert undisturbed.report.columns == stopped.report.columns
    assert set(stopped.report.columns) == {"student", "control", "peer_1", "peer_2"}


def test_student_alone_is_exported(tmp_path: Path, digits: ArrayDataset) -> None:
    run_job(tmp_path, digits, parse(control=False))

    names = {path.name for path in (tmp_path / "artifacts").glob("*.safetensors")}
    plain = build_network(describe_network(parse(), digits), device="meta").state_dict()
    assert names == {"student.safetensors"}
    assert weights(tmp_path).keys() == plain.keys()


def test_checkpoint_holds_the_peers_with_their_batch_statistics(
    tmp_path: Path, digits: ArrayDataset
) -> None:
    with pytest.raises(Interrupted):
        run_job(tmp_path, digits, parse(), stop_at_question=5)

    (path,) = (tmp_path / "checkpoints").glob("*.safetensors")
    tensors, _ = read_safetensors(path)
    peers = {name: tensor for name, tensor in tensors.items() if name.startswith("objective/")}
    (counted,) = [tensor for name, tensor in peers.items() if name.endswith("batches_tracked")]
    plain = build_network(describe_network(parse(), digits), device="meta").state_dict()
    # Two layers of the small mlp have two tensors each; nothing is kept twice.
    assert len(peers) == len(plain) + 4
    assert counted.item() == 4


def test_peers_move_the_student_and_leave_the_control_alone(
    tmp_path: Path, digits: ArrayDataset
) -> None:
    run_job(tmp_path / "together", digits, parse())
    run_job(tmp_path / "alone", digits, parse(method={"name": "mutual_learning", "kd_weight": 0.0}))

    assert differing(weights(tmp_path / "alone"), weights(tmp_path / "alone", "control")) == []
    assert differing(weights(tmp_path / "together"), weights(tmp_path / "alone")) != []
    assert differing(weights(tmp_path / "together", "control"), weights(tmp_path / "alone")) == []


def test_student_and_peers_learn(tmp_path: Path, digits: ArrayDataset) -> None:
    events: list[RunEvent] = []
    spec = parse(training={"num_epochs": 8, "batch_size": 64}, control=False)

    columns = run_job(tmp_path, digits, spec, events=events).report.columns

    assert set(columns) == {"student", "peer_1", "peer_2"}
    assert columns["peer_1"].parameters == columns["student"].parameters
    assert columns["peer_2"].parameters == 64 * 16 + 16 + 16 * 10 + 10
    accuracies = [column.splits["test"].accuracy for column in columns.values()]
    assert min(accuracies) > 0.5
    points = [p for event in events if isinstance(event, Metrics) for p in event.points]
    for name in ("cross_entropy", "peers"):
        losses = [point.value for point in points if point.name == name]
        assert losses[-1] < 0.75 * losses[0]


def test_a_teacher_is_refused() -> None:
    with pytest.raises(SpecInvalid, match="mutual_learning takes no teacher"):
        parse(teachers=[{"model": "teacher"}])


def test_unlabeled_transfer_is_refused() -> None:
    with pytest.raises(SpecInvalid, match="learns from labels"):
        parse(transfer={"unlabeled": True}, control=False)


def test_resolved_spec_counts_the_peers_and_goes_in_again() -> None:
    job = parse()

    assert job.method.model_dump()["num_peers"] == 2
    assert parse_job(job.model_dump(mode="json")) == job


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_peers": 3}, "num_peers is 3 and peers lists 2"),
        ({"num_peers": 5, "peers": []}, "less than or equal to 4"),
        ({"peers": [NETWORK] * 5}, "at most 4"),
        ({"peers": 7}, "valid array"),
        ({"ce_weight": 0.0}, "greater than 0"),
    ],
)
def test_peers_that_do_not_add_up_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecInvalid, match=message):
        parse(method=METHOD | change)
