"""A job with everything chosen that its networks decide: layers and stages. Free of torch."""

from typing import TypeVar

from kdcore.catalog.layer_shapes import LayerShapes
from kdcore.pairing import resolve_layers
from kdcore.spec import DistillJob, TrainingSpec, TrainJob
from kdcore.spec.methods import MethodFields
from kdcore.spec.stages import plan_stages
from kdcore.spec.training import StageSpec

JobT = TypeVar("JobT", TrainJob, DistillJob)


def resolve_job(
    job: JobT, *, student_layers: LayerShapes | None, teacher_layers: LayerShapes | None
) -> JobT:
    """Fill in the method's layers and, where it has several stages, `training.stages`.

    What comes out goes in again unchanged.

    Args:
        job: Any job; one without a teacher comes back as it is.
        student_layers: Every layer of the student that can be tapped; None if not known here,
            and then layers stay as they are.
        teacher_layers: The same of the teacher.

    Raises:
        IncompatibleInputs: as `kdcore.pairing.resolve_layers`.
    """
    if not isinstance(job, DistillJob):
        return job
    method, training = job.method, _with_stages(job.training, job.method)
    if student_layers is not None and teacher_layers is not None:
        method = resolve_layers(method, student=student_layers, teacher=teacher_layers)
    return job.model_copy(update={"method": method, "training": training})


def _with_stages(training: TrainingSpec, method: MethodFields) -> TrainingSpec:
    names = method.STAGES
    if len(names) == 1:
        return training
    stages = tuple(
        StageSpec(
            stage=stage.name,
            num_epochs=stage.num_epochs,
            num_steps=stage.num_steps,
            optimizer=stage.optimizer,
            schedule=stage.schedule,
        )
        for stage in plan_stages(names, training, optimizers=method.STAGE_OPTIMIZERS)
    )
    return training.model_copy(update={"stages": stages})
