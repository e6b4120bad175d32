"""What of a job decides what it computes: two jobs that say the same here share checkpoints."""

import json
from collections.abc import Mapping
from typing import Literal, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from kdcore.spec.evaluation import EvaluateJob
from kdcore.spec.jobs import AnyJob

# For people and schedulers; changing one changes no weight.
_BOOKKEEPING = {"name", "priority", "limits", "tags"}
_BOOKKEEPING_OF_TRAINING = {"checkpoint_every_epochs"}


def work_of(job: AnyJob) -> str:
    """Spell out the job's work as canonical JSON, without its bookkeeping and its defaults.

    A field that a later release adds, with a default that means what was always done, changes
    nothing here: a job that was queued before the upgrade goes on from its checkpoint after it.
    """
    bare = _with_bare_training(job)
    work = {field: value for field, value in _spell(bare).items() if field not in _BOOKKEEPING}
    return json.dumps(work, sort_keys=True, separators=(",", ":"))


def _with_bare_training(job: AnyJob) -> AnyJob:
    """Give the job with the bookkeeping of its training left out."""
    if isinstance(job, EvaluateJob):
        return job
    fields = type(job.training).model_fields
    left_out = {name: fields[name].default for name in _BOOKKEEPING_OF_TRAINING}
    return job.model_copy(update={"training": job.training.model_copy(update=left_out)})


def _spell(model: BaseModel) -> dict[str, object]:
    return {
        name: _plain(getattr(model, name))
        for name, field in type(model).model_fields.items()
        if _tells_kind(field)
        or getattr(model, name) != field.get_default(call_default_factory=True)
    }


def _tells_kind(field: FieldInfo) -> bool:
    # Two methods with nothing but defaults differ by their name alone.
    return get_origin(field.annotation) is Literal and isinstance(field.default, str)


def _plain(value: object) -> object:
    match value:
        case BaseModel():
            return _spell(value)
        case Mapping():
            return {str(key): _plain(each) for key, each in value.items()}
        case tuple() | list():
            return [_plain(each) for each in value]
        case _:
            return value
