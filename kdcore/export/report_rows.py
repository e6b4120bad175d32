"""The table of the report as text: one row a measure, one cell a network, and the difference."""

from collections.abc import Callable
from dataclasses import dataclass

from kdcore.export.number_text import byte_size, count, percent, signed
from kdcore.report import (
    Difference,
    Latency,
    NetworkReport,
    Report,
    Run,
    SplitScores,
    in_report_order,
)

NOTHING = "\N{EN DASH}"


@dataclass(frozen=True)
class ReportRow:
    """A measure with one cell for each of the report's columns, in `columns` order."""

    measure: str
    cells: tuple[str, ...]
    difference: str
    """Student minus control; a dash where it means nothing."""
    is_better: bool | None
    """Whether the difference speaks for the student; None if there is none or it is zero."""


def columns(report: Report) -> tuple[Run, ...]:
    """The networks of a report in the order in which tables show them."""
    return in_report_order(report.columns)


def main_run(report: Report) -> Run:
    """The network that the job was for."""
    match report.kind:
        case "train":
            return "network"
        case "distill":
            return "student"
        case "evaluate":
            return "ensemble" if "ensemble" in report.columns else "network_1"


def score_rows(report: Report, split: str) -> tuple[ReportRow, ...]:
    """What each network scores on one split."""
    change = (report.difference or {}).get(split)
    rows = [
        _scores(report, split, "Accuracy", lambda s: percent(s.accuracy)),
        _scores(report, split, "Errors", _errors),
        _scores(report, split, "Top-5 accuracy", lambda s: _optional(s.accuracy_top5, percent)),
        _scores(report, split, "Cross-entropy, nats", lambda s: f"{s.cross_entropy:.4f}"),
        _scores(
            report,
            split,
            "Calibration error (ECE)",
            lambda s: percent(s.expected_calibration_error),
        ),
        _scores(report, split, "Agrees with teacher", lambda s: _optional(s.agreement, percent)),
        _scores(
            report,
            split,
            "KL(teacher \N{DOUBLE VERTICAL LINE} network), nats",
            lambda s: _optional(s.kl_to_teacher, lambda value: f"{value:.4f}"),
        ),
    ]
    shown = [row for row in rows if any(cell != NOTHING for cell in row.cells)]
    return tuple(shown if change is None else [_with_difference(row, change) for row in shown])


def cost_rows(report: Report) -> tuple[ReportRow, ...]:
    """What each network weighs and costs."""
    rows = [
        _networks(report, "Parameters", lambda n: count(n.parameters)),
        _networks(report, "MFLOPs an image", lambda n: _megaflops(n.megaflops)),
        _networks(report, "Weights as safetensors", lambda n: byte_size(n.size_bytes)),
    ]
    batch_sizes = sorted({one.batch_size for n in report.columns.values() for one in n.latency})
    for batch_size in batch_sizes:
        measure = f"Latency of a batch of {batch_size}, median (p95)"
        rows.append(_networks(report, measure, _latency_of(batch_size)))
    return tuple(rows)


def latency_note(report: Report) -> str:
    """Say where latency was measured; empty if it was not."""
    found = next((one for n in report.columns.values() for one in n.latency), None)
    if found is None:
        return ""
    place = f"{found.device} ({report.environment.device_name})"
    threads = "1 CPU thread" if found.num_threads == 1 else f"{found.num_threads} CPU threads"
    return f"Latency: float32 on {place}, {threads}."


def headline(report: Report, split: str) -> str:
    """Say in a sentence or two what the network scores and what its teacher was worth."""
    run = main_run(report)
    scores = report.columns[run].splits[split]
    text = (
        f"The {_plain(run)} makes {count(scores.num_errors)} errors on the "
        f"{count(scores.num_examples)} images of the {split} split: {percent(scores.accuracy)} "
        "are right."
    )
    if report.mean_of_networks is not None:
        alone = percent(report.mean_of_networks[split].accuracy)
        return f"{text} Its {len(report.columns) - 1} networks alone reach {alone} on average."
    control = report.columns.get("control")
    if control is None:
        return text
    without = control.splits[split].num_errors
    return f"{text} The same network trained without a teacher makes {count(without)}: " + _worth(
        scores.num_errors, without
    )


def _plain(run: Run) -> str:
    return "network" if run == "network_1" else run


def _worth(errors: int, without: int) -> str:
    if errors == without:
        return "the teacher made no difference."
    kind = "fewer" if errors < without else "more"
    if not without:
        return f"with the teacher it makes {count(errors - without)} more."
    share = percent(abs(errors - without) / without, digits=1)
    return f"with the teacher it makes {share} {kind}."


def _errors(scores: SplitScores) -> str:
    return f"{count(scores.num_errors)} of {count(scores.num_examples)}"


def _megaflops(value: float) -> str:
    return f"{value:,.2f}" if value >= 1 else f"{value:.3g}"


def _optional(value: float | None, write: Callable[[float], str]) -> str:
    return NOTHING if value is None else write(value)


def _scores(
    report: Report, split: str, measure: str, write: Callable[[SplitScores], str]
) -> ReportRow:
    def write_split(network: NetworkReport) -> str:
        scores = network.splits.get(split)
        return NOTHING if scores is None else write(scores)

    return _networks(report, measure, write_split)


def _networks(report: Report, measure: str, write: Callable[[NetworkReport], str]) -> ReportRow:
    cells = tuple(write(report.columns[run]) for run in columns(report))
    return ReportRow(measure, cells, NOTHING, None)


def _latency_of(batch_size: int) -> Callable[[NetworkReport], str]:
    def write(network: NetworkReport) -> str:
        found: list[Latency] = [one for one in network.latency if one.batch_size == batch_size]
        return f"{found[0].median_ms:.2f} ({found[0].p95_ms:.2f}) ms" if found else NOTHING

    return write


def _with_difference(row: ReportRow, change: Difference) -> ReportRow:
    match row.measure:
        case "Accuracy":
            text, gain = f"{signed(100 * change.accuracy, digits=2)} points", change.accuracy
        case "Errors":
            text, gain = signed(change.num_errors), -change.num_errors
        case "Cross-entropy, nats":
            text, gain = signed(change.cross_entropy, digits=4), -change.cross_entropy
        case "Calibration error (ECE)":
            gain = -change.expected_calibration_error
            text = f"{signed(-100 * gain, digits=2)} points"
        case _:
            return row
    return ReportRow(row.measure, row.cells, text, gain > 0 if gain else None)
