"""The teachers that a job names, loaded from their weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kdcore.checkpoints import read_safetensors, sha256_of
from kdcore.devices import Compute
from kdcore.models import FittingClassifier, build_network, load_weights
from kdcore.spec import DistillJob, NetworkDescription
from kdcore.teacher.ensemble import Ensemble
from kdcore.teacher.frozen import Teacher

AnyTeacher = Teacher | Ensemble


@dataclass(frozen=True)
class TeacherInput:
    """A teacher: what it is, and its weights as a safetensors file that kdcore wrote."""

    description: NetworkDescription
    weights: Path


@dataclass(frozen=True)
class Teachers:
    """All teachers of a job, in the order of its spec; none for a job that has none.

    Attributes:
        members: Each on its own.
        descriptions: What each is.
        sha256: Of the file of each one's weights.
    """

    members: tuple[Teacher, ...] = ()
    descriptions: tuple[NetworkDescription, ...] = ()
    sha256: tuple[str, ...] = ()

    def together(self, spec: DistillJob) -> AnyTeacher | None:
        """Give what a student of `spec` learns from."""
        if len(self.members) < 2:
            return self.members[0] if self.members else None
        return Ensemble(
            self.members,
            weights=[reference.weight for reference in spec.teachers],
            average=spec.teacher_average or "probabilities",
            temperature=spec.method.teacher_temperature,
        )


def load_teachers(inputs: Sequence[TeacherInput], compute: Compute) -> Teachers:
    """Build every teacher on the device, with its weights.

    Raises:
        CheckpointDamaged, RuntimeError: a file does not hold the weights of what it describes.
    """
    return Teachers(
        members=tuple(_load(each, compute) for each in inputs),
        descriptions=tuple(each.description for each in inputs),
        sha256=tuple(sha256_of(each.weights) for each in inputs),
    )


def _load(source: TeacherInput, compute: Compute) -> Teacher:
    network = build_network(source.description)
    weights, _ = read_safetensors(source.weights)
    load_weights(network, weights)
    classifier = FittingClassifier(network.to(compute.device), source.description.input)
    return Teacher(classifier, autocast_dtype=compute.autocast_dtype)
