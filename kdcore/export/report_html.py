"""`report.html`: the whole evaluation on one page that needs nothing else, script or network."""

import json
from collections.abc import Sequence
from pathlib import Path

from kdcore.export.atomic import write_text
from kdcore.export.heat_map import MAX_CLASSES, confusion_heat_map
from kdcore.export.markup import Markup, element, escape, join
from kdcore.export.number_text import percent
from kdcore.export.report_calibration import calibration_sections
from kdcore.export.report_charts import metric_charts
from kdcore.export.report_rows import cost_rows, headline, latency_note, main_run, score_rows
from kdcore.export.report_style import STYLE
from kdcore.export.report_tables import (
    classes_table,
    confusions_table,
    facts_table,
    measures_table,
)
from kdcore.export.series import MetricSeries
from kdcore.pairing import pairs_in_words
from kdcore.report import Report, in_report_order
from kdcore.spec import AnyJob, DistillJob, EvaluateJob, TrainJob
from kdcore.spec.runs import PlannedRun, plan_runs

# The page may load nothing and run nothing, whatever a name in it says.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}
</style>
</head>
<body>{body}</body>
</html>
"""


_TITLES = {
    "train": "Training report",
    "distill": "Distillation report",
    "evaluate": "Evaluation report",
}


def write_report_html(
    path: Path,
    report: Report,
    *,
    spec: AnyJob,
    series: Sequence[MetricSeries] = (),
) -> Path:
    """Write the page; gives `path`."""
    return write_text(path, render_report(report, spec=spec, series=series))


def render_report(
    report: Report,
    *,
    spec: AnyJob,
    series: Sequence[MetricSeries] = (),
) -> str:
    """Make the page: tables, curves and confusion matrices, for light and dark screens.

    Everything that comes from people (names of job and classes, tags) is escaped. Where training
    had several stages, the curves mark the step at which each one began.
    """
    what = _TITLES[report.kind]
    title = spec.name or what
    splits = tuple(report.columns[main_run(report)].splits)
    body = element(
        "main",
        element(
            "header",
            *([element("p", what, class_="kicker")] if spec.name else []),
            element("h1", title),
            *(element("p", headline(report, split), class_="lead") for split in splits),
        ),
        *(_scores_section(report, split) for split in splits),
        *(calibration_sections(report, split) for split in splits),
        _cost_section(report),
        element("div", *metric_charts(report, series), class_="pair"),
        *(_classes_sections(report, split) for split in splits),
        _environment_section(report, spec),
    )
    return _PAGE.format(policy=_POLICY, title=escape(title), style=STYLE, body=body)


def _scores_section(report: Report, split: str) -> Markup:
    count = report.columns[main_run(report)].splits[split].num_examples
    note = f"Measured on the {count:,} images of the {split} split"
    note += "." if report.kind == "evaluate" else " with the weights of the last epoch."
    if report.difference is not None:
        note += " Difference: student minus control, which is the same network trained without "
        note += "the teacher from the same initial weights, with the same data order and budget."
    return element(
        "section",
        measures_table(report, score_rows(report, split), caption=f"On the {split} split"),
        element("p", note, class_="note"),
    )


def _cost_section(report: Report) -> Markup:
    notes = ["FLOPs: 2 per multiply-add of convolutions and linear layers.", latency_note(report)]
    return element(
        "section",
        measures_table(report, cost_rows(report), caption="Size and cost"),
        element("p", " ".join(notes).strip(), class_="note"),
    )


def _classes_sections(report: Report, split: str) -> Markup:
    run = main_run(report)
    scores = report.columns[run].splits[split]
    title = f"What the {run} takes for what, {split} split"
    pictures = []
    # After a calibration the picture stands beside the one from before it.
    if report.calibration is None and len(scores.per_class_accuracy) <= MAX_CLASSES:
        key = "Row: true class. Column: prediction. Blue: share that is right. Orange: confusions."
        heat_map = confusion_heat_map(scores, report.class_names, title=title)
        pictures = [heat_map, element("p", key, class_="note")]
    details = element(
        "details", element("summary", "Accuracy of every class"), classes_table(report, split)
    )
    confused = element("h2", f"Most confused by the {run}")
    tables = element("section", confused, confusions_table(report, scores), details)
    if not pictures:
        return tables
    return element(
        "div", element("section", element("h2", title), *pictures), tables, class_="pair"
    )


def _environment_section(report: Report, spec: AnyJob) -> Markup:
    environment = report.environment
    facts = [
        ("Evaluated on", spec.dataset),
        *([] if isinstance(spec, EvaluateJob) else _training_facts(report, spec)),
        ("Device", f"{environment.device}: {environment.device_name}"),
        ("CPU threads", str(environment.num_threads)),
        ("Versions", ", ".join(f"{k} {v}" for k, v in environment.versions.items())),
        ("Revision", environment.revision or "unknown"),
    ]
    text = json.dumps(spec.model_dump(mode="json"), indent=2, ensure_ascii=False)
    return element(
        "section",
        element("h2", "How it was made"),
        facts_table(facts),
        join(element("details", element("summary", "The job's spec"), element("pre", text))),
    )


def _training_facts(report: Report, spec: TrainJob | DistillJob) -> list[tuple[str, str]]:
    return [
        ("Trained on", spec.transfer.dataset or spec.dataset),
        *_teaching_facts(report, spec),
        *_stage_facts(report),
        ("Precision in training", report.environment.precision),
        ("Seed", str(report.environment.seed)),
    ]


def _teaching_facts(report: Report, spec: AnyJob) -> list[tuple[str, str]]:
    """Say who learned from whom, and what each teacher knew before."""
    learned = [f"{each.name} from {_source(each)}" for each in plan_runs(spec)]
    known = [
        f"{run} {percent(column.balanced_accuracy_beforehand)}"
        for run, column in report.columns.items()
        if column.balanced_accuracy_beforehand is not None
    ]
    facts = []
    if isinstance(spec, DistillJob):
        facts = [("Method", spec.method.name), ("Learned", "; ".join(learned))]
        layers = pairs_in_words(spec.method)
        facts += [("Layers", layers)] if layers else []
    if known:
        facts.append(("On train images beforehand, mean over classes", ", ".join(known)))
    return facts


def _stage_facts(report: Report) -> list[tuple[str, str]]:
    """Say how long each network was trained, stage by stage."""
    lengths = [
        f"{run} {', '.join(f'{stage.name} {stage.num_steps:,}' for stage in report.stages[run])}"
        for run in in_report_order(report.stages)
    ]
    return [("Optimizer steps", "; ".join(lengths))] if lengths else []


def _source(planned: PlannedRun) -> str:
    if planned.method is None:
        return "labels alone"
    return planned.taught_by or "its peers"
