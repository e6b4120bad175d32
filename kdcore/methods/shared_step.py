"""A step whose batch several processes share, put together for the losses that relate images.

B batch, C channels (images) or classes (logits), H height, W width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from kdcore.distributed import BatchPart, World, whole_batch
from kdcore.features import Observation
from kdcore.methods.step import Labels, Step
from kdcore.methods.term import Term


@dataclass(frozen=True, eq=False)
class SharedBatch:
    """A batch that several processes work on together.

    Attributes:
        part: What of it is this process'.
        world: The processes.
        seed: Of what all of them must draw alike.
    """

    part: BatchPart
    world: World
    seed: int


def whole_step(step: Step, terms: Sequence[Term], shared: SharedBatch) -> Step:
    """Give the step of the whole batch as far as `terms` read it, the same in every process.

    Layers and logits travel, images do not: `images_BCHW` has no rows.
    """
    return Step(
        student=_whole(
            step.student,
            tuple(dict.fromkeys(name for term in terms for name in term.student_layers)),
            has_logits=any(term.needs_student_logits for term in terms),
            shared=shared,
        ),
        teacher=None
        if step.teacher is None
        else _whole(
            step.teacher,
            tuple(dict.fromkeys(name for term in terms for name in term.teacher_layers)),
            has_logits=any(term.needs_teacher and term.needs_teacher_logits for term in terms),
            shared=shared,
        ),
        labels=_whole_labels(step.labels, shared)
        if any(term.needs_labels for term in terms)
        else None,
        images_BCHW=step.images_BCHW[:0],
        indices_B=whole_batch(step.indices_B, shared.part, shared.world),
        epoch=step.epoch,
    )


def _whole(
    seen: Observation, layers: tuple[str, ...], *, has_logits: bool, shared: SharedBatch
) -> Observation:
    part, world = shared.part, shared.world
    return Observation(
        whole_batch(seen.logits, part, world) if has_logits else None,
        {name: whole_batch(seen.features[name], part, world) for name in layers},
    )


def _whole_labels(labels: Labels | None, shared: SharedBatch) -> Labels | None:
    if labels is None:
        return None
    part, world = shared.part, shared.world
    return Labels(
        whole_batch(labels.labels_B, part, world),
        None if labels.other_B is None else whole_batch(labels.other_B, part, world),
        None if labels.share_B is None else whole_batch(labels.share_B, part, world),
    )
