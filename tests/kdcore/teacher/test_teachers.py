"""The teachers of a job come from their files, and answer as its spec says."""

from pathlib import Path
from typing import Any

import pytest
import torch

from kdcore.checkpoints import sha256_of, write_safetensors
from kdcore.devices import Compute
from kdcore.models import build_network
from kdcore.spec import DistillJob, ImageInput, Mlp, NetworkDescription, parse_job
from kdcore.teacher import Ensemble, TeacherInput, Teachers, load_teachers

DESCRIPTION = NetworkDescription(
    architecture=Mlp(hidden=(4,)), input=ImageInput(channels=1, height=2, width=2), num_classes=3
)
COMPUTE = Compute(torch.device("cpu"), "bfloat16", num_threads=1)


@pytest.fixture
def inputs(tmp_path: Path) -> list[TeacherInput]:
    paths = [tmp_path / f"{seed}.safetensors" for seed in range(2)]
    for seed, path in enumerate(paths):
        write_safetensors(path, build_network(DESCRIPTION, seed=seed).state_dict())
    return [TeacherInput(DESCRIPTION, path) for path in paths]


def job(**changes: Any) -> DistillJob:
    document = {
        "kind": "distill",
        "dataset": "digits",
        "teachers": [{"model": "a", "weight": 3}, {"model": "b"}],
        "student": {"architecture": "mlp", "hidden": [4]},
    }
    parsed = parse_job(document | changes)
    assert isinstance(parsed, DistillJob)
    return parsed


def test_each_has_the_weights_of_its_file_and_the_precision_of_the_job(
    inputs: list[TeacherInput],
) -> None:
    teachers = load_teachers(inputs, COMPUTE)
    for seed, member in enumerate(teachers.members):
        expected = build_network(DESCRIPTION, seed=seed).state_dict()
        found = member.classifier.network.state_dict()
        assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())
        assert member.autocast_dtype == torch.bfloat16
    assert teachers.sha256 == tuple(sha256_of(each.weights) for each in inputs)


def test_one_teaches_alone(inputs: list[TeacherInput]) -> None:
    teachers = load_teachers(inputs[:1], COMPUTE)
    assert teachers.together(job(teachers=[{"model": "a"}])) is teachers.members[0]


def test_without_teachers_nobody_teaches() -> None:
    spec = job(teachers=[], method={"name": "self_distillation"})
    assert Teachers().together(spec) is None
    assert load_teachers([], COMPUTE) == Teachers()


@pytest.mark.parametrize(
    ("method", "average", "temperature"),
    [
        ({"name": "logit_kd", "temperature": 7.0}, "probabilities", 7.0),
        ({"name": "logit_matching"}, "logits", 1.0),
    ],
)
def test_several_are_averaged_at_the_temperature_of_the_method(
    inputs: list[TeacherInput], method: dict[str, Any], average: str, temperature: float
) -> None:
    together = load_teachers(inputs, COMPUTE).together(job(method=method))
    assert isinstance(together, Ensemble)
    assert together.weights == (3.0, 1.0)
    assert (together.average, together.temperature) == (average, temperature)
