"""What a calibration changed, as text: each network before and after, and its offsets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kdcore.export.class_names import class_name
from kdcore.export.number_text import count, percent, signed
from kdcore.export.report_rows import NOTHING, columns
from kdcore.report import CalibrationReport, Report, Run, SplitScores

_MAX_CLASSES = 12
_HOW = {
    "fixed": "by the numbers that the job gives",
    "match_prior": "until the mean prediction over unlabelled training images was the class "
    "prior; no label of an image and no image of the test split was looked at",
    "best_on_validation": "to where most images of a part of the train split were right that no "
    "run trains on; the test split was not looked at",
}


@dataclass(frozen=True)
class CalibrationTable:
    """Text for a table: `heads` has as many cells as each row."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def calibrated_runs(report: Report) -> tuple[Run, ...]:
    """The networks whose class biases were shifted, in the order in which tables show them."""
    before = report.calibration.before if report.calibration is not None else {}
    return tuple(run for run in columns(report) if run in before)


def calibration_note(calibration: CalibrationReport) -> str:
    """Say what was done, and which numbers are from before it."""
    return (
        f"After training, class biases were shifted {_HOW[calibration.rule]}. Every other table "
        "and the files hold the networks after it; the curves were drawn before it."
    )


def calibration_table(
    report: Report, calibration: CalibrationReport, split: str
) -> CalibrationTable:
    """Lay out scores on one split before and after, and the classes that were shifted most."""
    runs = calibrated_runs(report)
    pairs = [(calibration.before[run][split], report.columns[run].splits[split]) for run in runs]
    moved = _most_moved(calibration)

    def scores(measure: str, write: Callable[[SplitScores], str]) -> tuple[str, ...]:
        return (measure, *(write(one) for pair in pairs for one in pair))

    def offsets(label: int) -> tuple[str, ...]:
        given = [calibration.offsets[run][label] for run in runs]
        cells = [cell for offset in given for cell in (NOTHING, signed(offset, digits=3))]
        return (f"Offset of {_name(report, label)}", *cells)

    def on_class(label: int) -> tuple[str, ...]:
        return scores(f"Accuracy on {_name(report, label)}", lambda one: _share(one, label))

    return CalibrationTable(
        heads=(f"On the {split} split", *_heads(runs)),
        rows=(
            scores("Accuracy", lambda one: percent(one.accuracy)),
            scores("Errors", lambda one: count(one.num_errors)),
            scores("Cross-entropy, nats", lambda one: f"{one.cross_entropy:.4f}"),
            scores("Calibration error (ECE)", lambda one: percent(one.expected_calibration_error)),
            *(on_class(label) for label in moved),
            *(offsets(label) for label in moved),
        ),
    )


def _most_moved(calibration: CalibrationReport) -> list[int]:
    """List the labels with the largest offsets of any network, rising; not those that stayed."""
    by_label = zip(*calibration.offsets.values(), strict=True)
    farthest = [max(map(abs, offsets)) for offsets in by_label]
    moved = [label for label, offset in enumerate(farthest) if offset]
    return sorted(sorted(moved, key=lambda label: -farthest[label])[:_MAX_CLASSES])


def _heads(runs: Sequence[Run]) -> list[str]:
    return [f"{run} {when}" for run in runs for when in ("before", "after")]


def _share(scores: SplitScores, label: int) -> str:
    share = scores.per_class_accuracy[label]
    return NOTHING if share is None else percent(share)


def _name(report: Report, label: int) -> str:
    name = class_name(report.class_names, label)
    return f"class {label}" if name == str(label) else name
