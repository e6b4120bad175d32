"""`docs/omitted_classes.md`: what a student makes of classes it has never seen."""

from collections.abc import Sequence
from pathlib import Path

from kdcore.export.heat_map import confusion_heat_map
from recipes.pages.pictures import stand_alone
from recipes.pages.setting import MADE, comparison_table, setting
from recipes.result import Calibrated, Group, RecipeResult

_STYLE = (
    "text{font:12px system-ui,sans-serif}.tick{fill:#667085}.frame{fill:none;stroke:#e3e1dc}"
    ".right{fill:#1f6feb}.wrong{fill:#d9730d}.number{fill:#1d2330}.number.strong{fill:#fff}"
)


def write_omitted(results: Sequence[RecipeResult], docs: Path) -> None:
    """Write the page and its pictures, a section for each result."""
    (docs / "images").mkdir(exist_ok=True)
    sections = [_section(result, docs / "images") for result in results]
    parts = ["# Classes that a student has never seen", _ABOUT, *sections, MADE]
    (docs / "omitted_classes.md").write_text("\n\n".join(parts) + "\n")


_ABOUT = (
    "A student learns what its teacher says of the images it sees. Leave a class out of them "
    "(`transfer.exclude_classes`) and it still learns much of that class from the teacher's soft "
    "targets on the others; what it gets wrong is mostly its bias. `calibration` shifts the biases "
    "after training: by given numbers, or so that the mean answer on unlabelled training images is "
    "the class prior (`match_prior`), which looks at no test image."
)


def _section(result: RecipeResult, images: Path) -> str:
    # Of each step the first group stands for the others.
    pictured = {group.step: group for group in reversed(result.groups) if group.calibrated}
    parts = [
        f"## {result.title}",
        *setting(result),
        comparison_table(result),
        *(
            _pictures(result, group, column, images)
            for group in reversed(pictured.values())
            for column in group.calibrated
        ),
    ]
    return "\n\n".join(parts)


def _pictures(result: RecipeResult, group: Group, column: str, images: Path) -> str:
    name = "_".join([result.recipe, group.step, *group.point.values(), column])
    calibrated = group.calibrated[column]
    what = f"{column} of {group.step}, {', '.join(group.point.values())}, seed {group.seeds[0]}"
    names = result.dataset.class_names
    for when, scores in (("before", calibrated.before), ("after", calibrated.after)):
        drawing = confusion_heat_map(scores, names, title=f"{what}, {when}")
        (images / f"{name}_{when}.svg").write_text(stand_alone(drawing, _STYLE))
    return (
        f"{what[0].upper()}{what[1:]}: {calibrated.before.num_errors} errors before, "
        f"{calibrated.after.num_errors} after; offsets {_offsets(calibrated, names)}.\n\n"
        f'<img src="images/{name}_before.svg" width="45%" alt="{what}, before"> '
        f'<img src="images/{name}_after.svg" width="45%" alt="{what}, after">'
    )


def _offsets(calibrated: Calibrated, names: tuple[str, ...]) -> str:
    return ", ".join(
        f"{name} {offset:+.2f}"
        for name, offset in zip(names, calibrated.offsets, strict=True)
        if abs(offset) >= 0.005
    )
