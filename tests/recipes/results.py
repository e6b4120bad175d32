"""Results as experiments leave them, made up for the pages that show them."""

from datetime import date

from kdcore.spec import (
    DatasetDescription,
    DistillJob,
    ImageShape,
    Mlp,
    SplitDescription,
    TeacherReference,
    TrainJob,
)
from kdcore.spec.methods import MethodSpec
from recipes.result import Failure, Group, RecipeResult, Spread

_SPLIT = SplitDescription(
    num_examples=10_000, class_counts=(5000, 5000), images_sha256="0" * 64, labels_sha256="0" * 64
)
DATASET = DatasetDescription(
    name="digits",
    class_names=("a", "b"),
    image=ImageShape(channels=1, height=2, width=2),
    splits={"train": _SPLIT, "test": _SPLIT},
    mean=(0.5,),
    std=(0.25,),
)


def train_group(step: str, *accuracies: float) -> Group:
    spec = TrainJob(dataset="digits", network=Mlp(hidden=(2,)))
    return _group(step, {}, "network", accuracies, spec)


def distill_group(
    step: str, point: dict[str, str], method: MethodSpec, *accuracies: float
) -> Group:
    spec = DistillJob(
        dataset="digits",
        teachers=(TeacherReference(model="teacher"),),
        student=Mlp(hidden=(2,)),
        method=method,
    )
    return _group(step, point, "student", accuracies, spec)


def _group(
    step: str,
    point: dict[str, str],
    column: str,
    accuracies: tuple[float, ...],
    spec: TrainJob | DistillJob,
) -> Group:
    errors = [round(10_000 * (1 - accuracy)) for accuracy in accuracies]
    return Group(
        step=step,
        point=point,
        seeds=tuple(range(len(accuracies))),
        columns={column: {"accuracy": Spread.over(accuracies), "num_errors": Spread.over(errors)}},
        seconds=None if step == "teacher" else Spread.over([12.0] * len(accuracies)),
        devices=("a CPU",) * len(accuracies),
        revisions=(None,) * len(accuracies),
        spec=spec,
    )


def result_of(*groups: Group, recipe: str = "zoo", scale: str = "full") -> RecipeResult:
    return RecipeResult(
        recipe=recipe,
        title="A title",
        source="a paper",
        date=date(2026, 1, 2),
        scale=scale,
        scale_summary="as published",
        dataset=DATASET,
        machine={"cpu": "a CPU", "num_threads": 1},
        num_workers=1,
        groups=groups,
        comparisons=(),
        failures=(Failure(job="student.method-x", code="diverged", message="It diverged."),),
    )
