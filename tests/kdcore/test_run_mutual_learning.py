"""Whole jobs in which networks learn from each other, without a teacher."""

from pathlib import Path
from typing import Any

import pytest

from kdcore.checkpoints import read_safetensors
from kdcore.data import ArrayDataset
from kdcore.errors import Interrupted, SpecInvalid
from kdcore.job_runs import describe_network
from kdcore.models import build_network
from kdcore.progress import RunEvent
from kdcore.spec import DistillJob, parse_job
from tests.kdcore.small_jobs import (
    differing,
    parse_distillation,
    run_job,
    series,
    stop_at_question,
    weights,
)

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
    "training": {"num_epochs": 1, "batch_size": 128},
    "evaluation": {"latency": False},
    "exports": ["safetensors"],
}


def parse(**changes: Any) -> DistillJob:
    return parse_distillation(SPEC | changes)


def test_student_alone_is_exported(tmp_path: Path, digits: ArrayDataset) -> None:
    run_job(tmp_path, digits, [], parse(control=False))

    names = {path.name for path in (tmp_path / "artifacts").glob("*.safetensors")}
    plain = build_network(describe_network(parse(), digits), device="meta").state_dict()
    assert names == {"student.safetensors"}
    assert weights(tmp_path).keys() == plain.keys()


def test_checkpoint_holds_the_peers_with_their_batch_statistics(
    tmp_path: Path, digits: ArrayDataset
) -> None:
    with pytest.raises(Interrupted):
        run_job(tmp_path, digits, [], parse(), should_stop=stop_at_question(5))

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
    run_job(tmp_path / "together", digits, [], parse())
    run_job(
        tmp_path / "alone", digits, [], parse(method={"name": "mutual_learning", "kd_weight": 0.0})
    )

    assert differing(weights(tmp_path / "alone"), weights(tmp_path / "alone", "control")) == []
    assert differing(weights(tmp_path / "together"), weights(tmp_path / "alone")) != []
    assert differing(weights(tmp_path / "together", "control"), weights(tmp_path / "alone")) == []


def test_student_and_peers_learn(tmp_path: Path, digits: ArrayDataset) -> None:
    events: list[RunEvent] = []
    spec = parse(training={"num_epochs": 8, "batch_size": 64}, control=False)

    columns = run_job(tmp_path, digits, [], spec, events=events).report.columns

    assert set(columns) == {"student", "peer_1", "peer_2"}
    assert columns["peer_1"].parameters == columns["student"].parameters
    assert columns["peer_2"].parameters == 64 * 16 + 16 + 16 * 10 + 10
    accuracies = [column.splits["test"].accuracy for column in columns.values()]
    assert min(accuracies) > 0.5
    for name in ("cross_entropy", "peers"):
        losses = series(events)[name]
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
        ({"peers": 7}, "must be a list"),
        ({"ce_weight": 0.0}, "greater than 0"),
    ],
)
def test_peers_that_do_not_add_up_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecInvalid, match=message):
        parse(method=METHOD | change)
