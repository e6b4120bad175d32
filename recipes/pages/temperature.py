"""The measured part of `docs/choosing_temperature.md`: a table and a picture for each width."""

from pathlib import Path

from kdcore.export.line_chart import ChartLine, line_chart
from kdcore.export.markdown import markdown_table
from recipes.pages.marked import write_between_marks
from recipes.pages.pictures import stand_alone
from recipes.pages.setting import setting
from recipes.result import Group, RecipeResult, Spread

_AXIS = "temperature"
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#667085}.grid{stroke:#e3e1dc}"
    ".curve{fill:none;stroke-width:2;stroke:#1f6feb}"
)


def write_temperatures(result: RecipeResult, docs: Path) -> None:
    """Draw the pictures and put them with the table between the page's two marks."""
    widths = widths_of(result)
    for units in widths:
        path = docs / "images" / f"mnist_temperature_{units}.svg"
        path.parent.mkdir(exist_ok=True)
        path.write_text(_picture(widths[units], units))
    write_between_marks(docs / "choosing_temperature.md", _measured(result, widths))


def widths_of(result: RecipeResult) -> dict[int, dict[float, Group]]:
    """Give the groups by units a layer and temperature, both rising."""
    found: dict[int, dict[float, Group]] = {}
    for group in result.groups:
        if _AXIS in group.point:
            units = int(group.step.removeprefix("student_"))
            found.setdefault(units, {})[float(group.point[_AXIS])] = group
    return {units: dict(sorted(groups.items())) for units, groups in sorted(found.items())}


def _measured(result: RecipeResult, widths: dict[int, dict[float, Group]]) -> str:
    temperatures = sorted({temperature for groups in widths.values() for temperature in groups})
    rows = [
        [f"{temperature:g}", *(_cell(groups.get(temperature)) for groups in widths.values())]
        for temperature in temperatures
    ]
    head = ["T", *(f"{units} units" for units in widths)]
    seeds = ", ".join(f"{units}: {_most_seeds(groups)}" for units, groups in widths.items())
    pictures = [
        f"![Errors over T with {units} units](images/mnist_temperature_{units}.svg)"
        for units in widths
    ]
    told = (
        "Errors on the 10,000 test digits, mean (range) over the seeds; seeds at most, by units: "
        f"{seeds}."
    )
    table = markdown_table(head, rows)
    return "\n\n".join([table, told, *setting(result), "\n".join(pictures)])


def _most_seeds(groups: dict[float, Group]) -> int:
    return max(len(group.seeds) for group in groups.values())


def errors_of(group: Group) -> Spread:
    """Take the student's errors on the test split."""
    return group.columns["student"]["num_errors"]


def _cell(group: Group | None) -> str:
    if group is None:
        return "–"
    errors = errors_of(group)
    return f"{errors.mean:.1f} ({errors.lowest:g} to {errors.highest:g})"


def _picture(groups: dict[float, Group], units: int) -> str:
    means = [errors_of(group).mean for group in groups.values()]
    chart = line_chart(
        [ChartLine("errors", "student", list(groups), means)],
        title=f"Test errors over temperature, {units} units a layer",
        x_label=f"temperature, {units} units a layer",
    )
    return stand_alone(chart, _STYLE)
