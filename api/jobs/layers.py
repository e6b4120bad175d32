"""Layers and stages of a job, chosen before it is queued as far as its networks are known here."""

from kdcore.catalog.layer_shapes import LayerShapes, by_name, layer_shapes
from kdcore.resolution import resolve_job
from kdcore.spec import DatasetDescription, DistillJob, NetworkDescription, TrainJob
from kdstore.tables import Model


def resolve(
    job: TrainJob | DistillJob, dataset: DatasetDescription, teachers: list[Model]
) -> TrainJob | DistillJob:
    """Fill in what the job's networks decide; without a look inside torchvision's, no layers.

    Raises:
        IncompatibleInputs: layers that the method names are not there or do not fit one another.
    """
    if not isinstance(job, DistillJob):
        return job
    student = NetworkDescription(
        architecture=job.student, input=dataset.image_input, num_classes=dataset.num_classes
    )
    computed = layer_shapes(student)
    return resolve_job(
        job,
        student_layers=None if computed is None else by_name(computed),
        teacher_layers=_stored_layers(teachers[0]) if teachers else None,
    )


def _stored_layers(model: Model) -> LayerShapes | None:
    if model.layers is None:
        return None
    return {layer["name"]: tuple(layer["shape"]) for layer in model.layers}
