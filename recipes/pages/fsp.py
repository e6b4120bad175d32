"""`docs/fsp.md`: whether a first stage on layers lowers its loss and speeds up the second."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from kdcore.export.line_chart import ChartLine, line_chart
from kdcore.export.markdown import markdown_table
from kdcore.spec import DistillJob
from recipes.curves import ACCURACY, Curve
from recipes.pages.pictures import stand_alone
from recipes.pages.setting import MADE, comparison_table, setting
from recipes.result import Group, RecipeResult, Spread
from recipes.tables import group_name, spread_text

STUDENT, CONTROL = "student", "control"
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#667085}.grid{stroke:#e3e1dc}"
    ".curve{fill:none;stroke-width:2}.student{stroke:#1f6feb}.control{stroke:#d9730d}"
)
_ABOUT = (
    "FSP and FitNet train in two stages: the first brings the student's layers near the teacher's "
    "and never looks at a label, the second goes on from there on labels alone. Here is what the "
    "first stage does to its own loss, and where the second stands after as many steps on labels "
    "as a control that began from nothing. The control has the steps of both stages together and "
    "its schedule is stretched over them, so at the same step its rate may still be the higher; "
    "only the steps before the student's rate first falls compare like with like."
)
_CAPTION = (
    "Left: the loss of the first stage, a curve a seed. Right: test accuracy over steps on labels, "
    "with the first stage behind it"
)
_CAPTION_ENDS = {True: " (blue), and the control (orange).", False: "."}
# Rows of a table: the first ones, where a head start shows, and the last.
_FIRST_ROWS = 6


def write_fsp(results: Sequence[RecipeResult], docs: Path) -> None:
    """Write the page and its pictures, a section for each result."""
    (docs / "images").mkdir(exist_ok=True)
    sections = [_section(result, docs / "images") for result in results]
    parts = ["# Two stages: FSP and FitNet", _ABOUT, *sections, MADE]
    (docs / "fsp.md").write_text("\n\n".join(parts) + "\n")


def _section(result: RecipeResult, images: Path) -> str:
    staged = [_step(result, group, images) for group in result.groups if group.curves]
    head = [f"## {result.title}", *setting(result), comparison_table(result)]
    return "\n\n".join([*head, *staged])


def _step(result: RecipeResult, group: Group, images: Path) -> str:
    stage = stage_of(group)
    losses = [curve for curve in group.curves if curve.metric == stage]
    accuracies = accuracies_on_labels(group)
    name = "_".join([result.recipe, group.step, *group.point.values()])
    (images / f"{name}_{stage}.svg").write_text(_loss_picture(losses, stage))
    (images / f"{name}_accuracy.svg").write_text(_accuracy_picture(accuracies))
    pictures = (
        f'<img src="images/{name}_{stage}.svg" width="48%" alt="loss of stage {stage}"> '
        f'<img src="images/{name}_accuracy.svg" width="48%" alt="accuracy over steps on labels">'
    )
    parts = [
        f"### `{group_name(group)}`: stage `{stage}`, then labels",
        _lowered(losses, stage) + _left_out(group),
        pictures,
        _CAPTION + _CAPTION_ENDS[CONTROL in accuracies],
        _table(accuracies),
    ]
    return "\n\n".join(parts)


def stage_of(group: Group) -> str:
    """Give the name of the first stage, which is that of its loss too."""
    if not isinstance(group.spec, DistillJob):
        raise TypeError(f"A job of kind {group.spec.kind} has no stages.")
    return group.spec.method.STAGES[0]


def accuracies_on_labels(group: Group) -> dict[str, dict[int, dict[int, float]]]:
    """Give run -> seed -> steps on labels -> test accuracy.

    A student's steps are counted from the end of its first stage, which is where the last
    reading of that stage's loss was taken; a control has no such stage.
    """
    stage = stage_of(group)
    ends = {(c.run, c.seed): c.steps[-1] for c in group.curves if c.metric == stage}
    found: dict[str, dict[int, dict[int, float]]] = {}
    for curve in group.curves:
        if curve.metric == ACCURACY:
            end = ends.get((curve.run, curve.seed), 0)
            points = zip(curve.steps, curve.values, strict=True)
            found.setdefault(curve.run, {})[curve.seed] = {s - end: value for s, value in points}
    return found


def _lowered(losses: Sequence[Curve], stage: str) -> str:
    first = Spread.over([curve.values[0] for curve in losses])
    last = Spread.over([curve.values[-1] for curve in losses])
    lower = sum(curve.values[-1] < curve.values[0] for curve in losses)
    return (
        f"The loss of stage `{stage}` goes from {_loss_text(first)} at the first reading to "
        f"{_loss_text(last)} at the last; it ends lower with {lower} of {len(losses)} seeds."
    )


def _loss_text(spread: Spread) -> str:
    return f"{spread.mean:.4g} ({spread.lowest:.4g} to {spread.highest:.4g})"


def _left_out(group: Group) -> str:
    classes = group.spec.transfer.exclude_classes if isinstance(group.spec, DistillJob) else ()
    if not classes:
        return ""
    return (
        " Below, test images of the classes left out "
        f"({', '.join(map(str, classes))}) count as errors."
    )


def _table(accuracies: Mapping[str, Mapping[int, Mapping[int, float]]]) -> str:
    runs = list(accuracies)
    shared = set.intersection(
        *(set(values) for seeds in accuracies.values() for values in seeds.values())
    )
    steps = sorted(shared)
    shown = steps if len(steps) <= _FIRST_ROWS + 1 else [*steps[:_FIRST_ROWS], steps[-1]]
    rows = [
        [
            f"{step}",
            *(
                spread_text(Spread.over([v[step] for v in accuracies[run].values()]), percent=True)
                for run in runs
            ),
            *_gain(accuracies, step),
        ]
        for step in shown
    ]
    last = ["student minus control"] if CONTROL in runs else []
    return markdown_table(["steps on labels", *runs, *last], rows)


def _gain(accuracies: Mapping[str, Mapping[int, Mapping[int, float]]], step: int) -> list[str]:
    if CONTROL not in accuracies:
        return []
    student, control = accuracies[STUDENT], accuracies[CONTROL]
    gain = statistics.mean(student[seed][step] - control[seed][step] for seed in student)
    return [f"{100 * gain:+.2f} points"]


def _loss_picture(losses: Sequence[Curve], stage: str) -> str:
    lines = [ChartLine(f"seed {c.seed}", STUDENT, c.steps, c.values) for c in losses]
    chart = line_chart(lines, title=f"loss of stage {stage}", x_label=f"step of stage {stage}")
    return stand_alone(chart, _STYLE)


def _accuracy_picture(accuracies: Mapping[str, Mapping[int, Mapping[int, float]]]) -> str:
    lines = [
        ChartLine(f"{run}, seed {seed}", run, list(values), list(values.values()))
        for run, seeds in accuracies.items()
        for seed, values in seeds.items()
    ]
    chart = line_chart(lines, title="test accuracy", x_label="steps on labels")
    return stand_alone(chart, _STYLE)
