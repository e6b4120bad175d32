"""The report as a table that people read: teacher, student, control, and what the teacher gave."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kdclient.errors import SplitNotReported
from kdcore.report import NetworkReport, Report, Run, SplitScores, in_report_order

_NOTHING = "–"


@dataclass(frozen=True)
class Comparison:
    """A table of text: `header` has as many cells as each row."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def as_markdown(self) -> str:
        """The table in Markdown, numbers to the right."""
        lines = [self.header, ("---", *("---:" for _ in self.header[1:])), *self.rows]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def compare(report: Report, *, split: str = "test") -> Comparison:
    """Lay out a report; with a control, the last column is student minus control.

    Raises:
        SplitNotReported: the report has no such split.
    """
    runs = in_report_order(report.columns)
    columns = [report.columns[run] for run in runs]
    # A teacher with classes of its own has no scores on the dataset's splits.
    known = list(dict.fromkeys(name for column in columns for name in column.splits))
    if split not in known:
        raise SplitNotReported(split, known=known)
    difference = _differences(report, split)
    rows = []
    for label, cell in _ROWS.items():
        cells = [cell(column, column.splits.get(split)) for column in columns]
        if any(text != _NOTHING for text in cells):
            last = (difference.get(label, _NOTHING),) if difference else ()
            rows.append((label, *cells, *last))
    rows += _before_calibration(report, runs, split, num_more=1 if difference else 0)
    header = ("", *runs, *(("difference",) if difference else ()))
    examples = next(c.splits[split].num_examples for c in columns if split in c.splits)
    title = f"{split} split, {examples} images"
    return Comparison(title=title, header=header, rows=tuple(rows))


def _before_calibration(
    report: Report, runs: Sequence[Run], split: str, *, num_more: int
) -> list[tuple[str, ...]]:
    """Give rows of what networks scored before their class biases were shifted, if they were."""
    if report.calibration is None:
        return []
    before = report.calibration.before
    scores = [before[run].get(split) if run in before else None for run in runs]
    return [
        (f"{label} before calibration", *cells, *[_NOTHING] * num_more)
        for label, cells in (
            ("accuracy", [_NOTHING if one is None else _accuracy(one) for one in scores]),
            ("errors", [_NOTHING if one is None else f"{one.num_errors}" for one in scores]),
        )
    ]


def _differences(report: Report, split: str) -> dict[str, str]:
    if report.difference is None:
        return {}
    change = report.difference[split]
    texts = {
        "accuracy": f"{100 * change.accuracy:+.2f} points",
        "errors": f"{change.num_errors:+d}",
        "cross-entropy": f"{change.cross_entropy:+.4f}",
        "calibration error (ECE)": f"{change.expected_calibration_error:+.4f}",
    }
    student = report.columns["student"].splits[split].agreement
    control = report.columns["control"].splits[split].agreement
    if student is not None and control is not None:
        texts["agreement with teacher"] = f"{100 * (student - control):+.2f} points"
    return texts


def _size(num_bytes: int) -> str:
    size, unit = float(num_bytes), "B"
    for larger in ("kB", "MB", "GB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


def _latency(column: NetworkReport) -> str:
    single = [each for each in column.latency if each.batch_size == 1]
    return f"{single[0].median_ms:.3f} ms" if single else _NOTHING


def _accuracy(scores: SplitScores) -> str:
    return f"{100 * scores.accuracy:.2f} %"


def _agreement(scores: SplitScores) -> str:
    return _NOTHING if scores.agreement is None else f"{100 * scores.agreement:.2f} %"


def _score(
    write: Callable[[SplitScores], str],
) -> Callable[[NetworkReport, SplitScores | None], str]:
    return lambda _, scores: _NOTHING if scores is None else write(scores)


_ROWS: dict[str, Callable[[NetworkReport, SplitScores | None], str]] = {
    "accuracy": _score(_accuracy),
    "errors": _score(lambda scores: f"{scores.num_errors}"),
    "cross-entropy": _score(lambda scores: f"{scores.cross_entropy:.4f}"),
    "calibration error (ECE)": _score(lambda scores: f"{scores.expected_calibration_error:.4f}"),
    "parameters": lambda column, _: f"{column.parameters:,}",
    "MFLOPs per image": lambda column, _: f"{column.megaflops:.3f}",
    "size": lambda column, _: _size(column.size_bytes),
    "latency, batch 1": lambda column, _: _latency(column),
    "agreement with teacher": _score(_agreement),
}
