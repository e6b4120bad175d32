"""Finished jobs on disk, found again by what they are: spec, images and teachers."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, JsonValue, TypeAdapter

from kdcore.checkpoints import sha256_of
from kdcore.errors import ArtifactsDamaged
from kdcore.export import verify_manifest
from kdcore.report import Report
from kdcore.resolution import resolve_job
from kdcore.spec import AnyJob, DistillJob, EvaluateJob, parse_network
from kdcore.teacher import TeacherInput
from recipes.planning import PlannedJob

_TIME = "time.json"
# These tell one model of a union from another, and often are a model's only field.
_TAGS = ("kind", "name", "architecture", "layer", "rule")


class Spent(BaseModel):
    """What a job took, all attempts together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seconds: float
    num_attempts: int


@dataclass(frozen=True)
class FinishedJob:
    """A job with its report; `spent` is None where it was run elsewhere."""

    planned: PlannedJob
    folder: Path
    report: Report
    spent: Spent | None

    def network(self) -> TeacherInput:
        """Give the trained network, to teach others."""
        run = "student" if isinstance(self.planned.spec, DistillJob) else "network"
        artifacts = self.folder / "artifacts"
        return TeacherInput(
            parse_network((artifacts / f"{run}.json").read_bytes()),
            artifacts / f"{run}.safetensors",
        )


def content_digest(
    spec: AnyJob, data_digests: Sequence[str], teachers: Sequence[TeacherInput]
) -> str:
    """Tell jobs apart by what they compute; fields that have their default do not count."""
    content = [
        told(spec.model_copy(update={"name": ""})),
        sorted(data_digests),
        _digests_of(teachers),
    ]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:20]


def told(value: object) -> JsonValue:
    """Turn a spec into JSON without the fields that have their default, but with every tag."""
    if isinstance(value, BaseModel):
        return {
            field: told(getattr(value, field))
            for field, info in type(value).model_fields.items()
            if field in _TAGS
            or getattr(value, field) != info.get_default(call_default_factory=True)
        }
    if isinstance(value, dict):
        return {str(key): told(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [told(item) for item in value]
    return TypeAdapter(JsonValue).validate_python(value)


def find_finished(planned: PlannedJob, folder: Path) -> FinishedJob | None:
    """Read what a finished job left in `folder`; None if it did not finish or is another job."""
    try:
        manifest = verify_manifest(folder / "artifacts")
    except ArtifactsDamaged:
        return None
    if not _is_same(manifest.spec, planned.spec):
        return None
    return _read_finished(planned, folder)


def find_given(
    planned: PlannedJob, folder: Path, data_digests: Sequence[str], teachers: Sequence[TeacherInput]
) -> FinishedJob | None:
    """Read what a job left that ran elsewhere, where dataset and models may have had other ids.

    None unless it is that job, learned from the same pixels and labels and from the same weights.
    """
    try:
        manifest = verify_manifest(folder / "artifacts")
    except ArtifactsDamaged:
        return None
    splits = manifest.dataset.splits.values()
    digests = [d for split in splits for d in (split.images_sha256, split.labels_sha256)]
    networks = [network.sha256 for network in (*manifest.teachers, *manifest.models)]
    if sorted(digests) != sorted(data_digests) or networks != _digests_of(teachers):
        return None
    # Both have a teacher for each digest, or they are not of one kind.
    if manifest.spec.kind != planned.spec.kind:
        return None
    if not _is_same(_with_ids_of(planned.spec, manifest.spec), planned.spec):
        return None
    return _read_finished(planned, folder)


def add_spent(folder: Path, seconds: float) -> None:
    """Count one more attempt of the job in `folder`."""
    before = _read_spent(folder) or Spent(seconds=0.0, num_attempts=0)
    after = Spent(seconds=before.seconds + seconds, num_attempts=before.num_attempts + 1)
    (folder / _TIME).write_text(after.model_dump_json() + "\n")


def _digests_of(teachers: Sequence[TeacherInput]) -> list[str]:
    return [sha256_of(teacher.weights) for teacher in teachers]


def _with_ids_of(asked: AnyJob, found: AnyJob) -> AnyJob:
    """Give `found` with the ids of dataset and teachers that `asked` has in their places."""
    changed: dict[str, object] = {"dataset": asked.dataset}
    if isinstance(found, DistillJob) and isinstance(asked, DistillJob):
        changed["teachers"] = tuple(
            theirs.model_copy(update={"model": ours.model})
            for theirs, ours in zip(found.teachers, asked.teachers, strict=True)
        )
    return found.model_copy(update=changed)


def _read_finished(planned: PlannedJob, folder: Path) -> FinishedJob:
    report = Report.model_validate_json((folder / "artifacts" / "report.json").read_bytes())
    return FinishedJob(planned, folder, report, _read_spent(folder))


def _read_spent(folder: Path) -> Spent | None:
    path = folder / _TIME
    return Spent.model_validate_json(path.read_bytes()) if path.exists() else None


def _is_same(found: AnyJob, asked: AnyJob) -> bool:
    """Compare what two jobs train: not their names and what is measured or exported of them."""
    if isinstance(asked, DistillJob) and isinstance(found, DistillJob):
        asked = resolve_job(asked, student_layers=None, teacher_layers=None)
        chosen = getattr(found.method, "layers", ())
        if not getattr(asked.method, "layers", chosen):
            method = asked.method.model_copy(update={"layers": chosen})
            asked = asked.model_copy(update={"method": method})
    if isinstance(asked, EvaluateJob) or isinstance(found, EvaluateJob):
        return found.model_copy(update={"name": asked.name}) == asked
    beside = ("name", "evaluation", "exports", "limits", "tags")
    return found.model_copy(update={field: getattr(asked, field) for field in beside}) == asked
