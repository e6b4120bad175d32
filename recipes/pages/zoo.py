"""`docs/zoo.md`: every method on one student, the best first."""

from collections.abc import Sequence

from kdcore.catalog.methods import methods
from kdcore.export.markdown import markdown_table
from kdcore.spec import DistillJob, TrainJob
from recipes.pages.setting import MADE, setting
from recipes.result import Group, RecipeResult, Spread
from recipes.running import NOT_RUN
from recipes.tables import spread_text

ALONE, STUDENT = "alone", "student"
_CAUTION = (
    "The order within the spread of the seeds means nothing, and neither does the order at another "
    "scale: methods that match layers need time that a short run does not give them. Weights are "
    "each method's defaults, which their papers chose for long schedules on images of 32×32 pixels "
    "and more; nobody tuned them to these tasks. `runs` counts the seeds."
)


def zoo_page(results: Sequence[RecipeResult]) -> str:
    """Write the page: for each result what was run, the table sorted by accuracy, what failed."""
    parts = ["# Every method on one student", _CAUTION, *map(_section, results), MADE]
    return "\n\n".join(parts) + "\n"


def _section(result: RecipeResult) -> str:
    alone = next(group for group in result.groups if group.step == ALONE)
    teacher = next(group for group in result.groups if group.step == "teacher")
    taught = [group for group in result.groups if group.step == STUDENT]
    ranked = sorted([*taught, alone], key=lambda group: -accuracy_of(group).mean)
    level = accuracy_of(alone).mean
    rows = [
        [*_cells(group), str(len(group.seeds)), _gain(group, level), _time(group)]
        for group in ranked
    ]
    head = ["method", "accuracy, mean (range)", "runs", "against alone", "seconds a run"]
    parts = [
        f"## {result.title}",
        *setting(result),
        _setting(result, teacher, alone),
        markdown_table(head, rows),
        *_failed(result),
    ]
    return "\n\n".join(parts)


def accuracy_of(group: Group) -> Spread:
    """Take the accuracy of what a step trained."""
    run = "network" if isinstance(group.spec, TrainJob) else "student"
    return group.columns[run]["accuracy"]


def _setting(result: RecipeResult, teacher: Group, alone: Group) -> str:
    level = spread_text(accuracy_of(teacher), percent=True)
    if not isinstance(alone.spec, TrainJob):
        raise TypeError(f"The network alone was made by a job of kind {alone.spec.kind}.")
    spec = alone.spec.training
    return (
        f"The teacher is right on {level}. Students are trained with the seeds "
        f"{', '.join(map(str, alone.seeds))} for {spec.num_epochs} epochs at batch "
        f"{spec.batch_size} on {alone.spec.transfer.fraction:.0%} of the training images, on "
        f"{', '.join(sorted(set(alone.devices)))}; accuracy is on all "
        f"{result.dataset.splits['test'].num_examples:,} test images after the last epoch."
    )


def _cells(group: Group) -> list[str]:
    spread = spread_text(accuracy_of(group), percent=True)
    if not isinstance(group.spec, DistillJob):
        return ["no teacher", spread]
    name = group.spec.method.name
    entry = next(entry for entry in methods() if entry.name == name)
    return [f"[`{name}`]({entry.paper.url})", spread]


def _gain(group: Group, level: float) -> str:
    if isinstance(group.spec, TrainJob):
        return "–"
    return f"{100 * (accuracy_of(group).mean - level):+.2f} points"


def _time(group: Group) -> str:
    return "–" if group.seconds is None else f"{group.seconds.mean:.0f}"


def _failed(result: RecipeResult) -> list[str]:
    failed = [failure for failure in result.failures if failure.code != NOT_RUN]
    num_left = len(result.failures) - len(failed)
    lines = [f"- `{failure.job}`: {failure.message}" for failure in failed]
    return [
        *(["Did not finish:", "\n".join(lines)] if failed else []),
        *([f"{num_left} of the planned runs are still to be done."] if num_left else []),
    ]
