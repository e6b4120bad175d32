"""From trained weights to what a user downloads: report, exports, charts, manifest."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from kdcore.artifacts import Artifact, Provenance, list_artifacts, manifest_dataset
from kdcore.calibration import calibrate, report_calibration
from kdcore.data import ArrayDataset, SplitName
from kdcore.devices import Compute
from kdcore.evaluation import (
    EvaluatedNetwork,
    describe_environment,
    difference,
    evaluate_ensemble,
    evaluate_network,
)
from kdcore.export import export_network
from kdcore.export.atomic import write_text
from kdcore.export.manifest_file import write_manifest
from kdcore.export.metrics_csv import write_metrics_csv
from kdcore.export.model_card import write_model_card
from kdcore.export.report_html import write_report_html
from kdcore.export.series import MetricSeries
from kdcore.manifest import (
    ManifestDataset,
    ManifestNetwork,
    build_manifest,
)
from kdcore.models import Classifier, build_network, channels_last, load_weights
from kdcore.progress import Reporter, StageStarted
from kdcore.report import NetworkReport, Report, Run, StageReport, kind_of
from kdcore.spec import DistillJob, NetworkDescription, TrainJob
from kdcore.spec.runs import plan_runs
from kdcore.teacher import AdmittedTeacher, Teachers
from kdcore.trainer.history import History

# Enough real images to tell a wrong export from rounding.
_SAMPLE_IMAGES = 64


@dataclass(frozen=True)
class Outcome:
    """A trained job before it is evaluated."""

    spec: TrainJob | DistillJob
    dataset: ArrayDataset
    transfer_dataset: ArrayDataset | None
    """Whose train split was learned from, if not `dataset`'s."""
    descriptions: Mapping[Run, NetworkDescription]
    """What each run trained, and its peers."""
    weights: Mapping[Run, Mapping[str, torch.Tensor]]
    """The finished runs, in the order in which they were trained."""
    teachers: Teachers
    admitted: tuple[AdmittedTeacher, ...]
    """What was known of each teacher before it taught."""
    history: History
    log_lines: Callable[[], list[str]]
    stages: Mapping[Run, tuple[StageReport, ...]]
    """Those of each run's training, in order."""
    compute: Compute

    @property
    def description(self) -> NetworkDescription:
        """What the job was for."""
        return self.descriptions["student" if "student" in self.descriptions else "network"]


def write_results(
    outcome: Outcome, folder: Path, reporter: Reporter, provenance: Provenance
) -> tuple[Report, tuple[Artifact, ...]]:
    """Evaluate every network, export the ones asked for, write every file of the job.

    Raises:
        ExportFailed: an exported file does not compute what the network computes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    reporter(StageStarted(stage="evaluating"))
    classifiers = {run: _rebuild(outcome, run) for run in outcome.weights}
    offsets = _calibrate(outcome, classifiers)
    report = _evaluate(outcome, classifiers, offsets)
    reporter(StageStarted(stage="exporting"))
    _export(outcome, classifiers, folder)
    write_text(folder / "report.json", report.model_dump_json(indent=2) + "\n")
    _write_texts(outcome, report, folder)
    manifest = build_manifest(
        folder,
        spec=outcome.spec,
        environment=report.environment,
        teachers=_manifest_teachers(outcome),
        dataset=manifest_dataset(outcome.spec.dataset, outcome.dataset),
        transfer_dataset=_manifest_transfer_dataset(outcome),
        attempts=provenance.attempts,
        job_id=provenance.job_id,
    )
    write_manifest(folder, manifest)
    return report, list_artifacts(folder)


def _rebuild(outcome: Outcome, run: Run) -> Classifier:
    description = outcome.descriptions[run]
    network = build_network(description)
    load_weights(network, outcome.weights[run])
    network = channels_last(network.to(outcome.compute.device))
    return Classifier(network, description.input)


def _calibrate(
    outcome: Outcome, classifiers: Mapping[Run, Classifier]
) -> Mapping[Run, torch.Tensor]:
    if not isinstance(outcome.spec, DistillJob):
        return {}
    return calibrate(
        outcome.spec,
        outcome.dataset,
        classifiers,
        transfer_dataset=outcome.transfer_dataset,
        device=outcome.compute.device,
    )


def _evaluate(
    outcome: Outcome,
    classifiers: Mapping[Run, Classifier],
    offsets: Mapping[Run, torch.Tensor],
) -> Report:
    columns, teacher = _measure_teachers(outcome)
    ancestor = _ancestor(outcome.spec)
    if ancestor is not None:
        # Built anew: calibration has moved the biases of the one in `classifiers`.
        teacher = _measure(outcome, _rebuild(outcome, ancestor), None)
        columns["teacher"] = teacher.report
    evaluated = {
        run: _measure(outcome, one, None if run == ancestor else teacher)
        for run, one in classifiers.items()
    }
    columns |= {run: one.report for run, one in evaluated.items()}
    calibration = None
    if isinstance(outcome.spec, DistillJob):
        calibration = report_calibration(
            outcome.spec, outcome.dataset, offsets, evaluated, teacher=teacher
        )
    has_control = "student" in columns and "control" in columns
    return Report(
        kind=outcome.spec.kind,
        dataset=outcome.spec.dataset,
        transfer_dataset=outcome.spec.transfer.dataset,
        columns=columns,
        difference=difference(columns["student"], columns["control"]) if has_control else None,
        calibration=calibration,
        stages=dict(outcome.stages),
        class_names=outcome.description.class_names,
        environment=describe_environment(outcome.compute, seed=outcome.spec.training.seed),
    )


def _ancestor(spec: TrainJob | DistillJob) -> Run | None:
    """Name the run that taught the student of a job without a teacher, if one did."""
    taught_by = {planned.name: planned.taught_by for planned in plan_runs(spec)}.get("student")
    has_teachers = isinstance(spec, DistillJob) and len(spec.teachers) > 0
    return None if has_teachers else taught_by


def _measure_teachers(
    outcome: Outcome,
) -> tuple[dict[Run, NetworkReport], EvaluatedNetwork | None]:
    """Measure each teacher and, of several, what they answer together: `teacher`.

    One that answers in other classes has a column without scores, and no student is compared
    with it.
    """
    members = [
        _with_beforehand(_measure(outcome, teacher.classifier, None, scored=seen.has_classes), seen)
        for teacher, seen in zip(outcome.teachers.members, outcome.admitted, strict=True)
    ]
    if not members:
        return {}, None
    if len(members) < 2 or not isinstance(outcome.spec, DistillJob):
        is_scored = outcome.admitted[0].has_classes
        return {"teacher": members[0].report}, members[0] if is_scored else None
    together = evaluate_ensemble(
        members,
        outcome.dataset,
        weights=[reference.weight for reference in outcome.spec.teachers],
        average=outcome.spec.teacher_average or "probabilities",
    )
    numbered = {f"teacher_{number}": one.report for number, one in enumerate(members, start=1)}
    return {"teacher": together.report, **numbered}, together


def _with_beforehand(measured: EvaluatedNetwork, seen: AdmittedTeacher) -> EvaluatedNetwork:
    if seen.check is None:
        return measured
    update = {"balanced_accuracy_beforehand": seen.check.balanced_accuracy}
    return EvaluatedNetwork(measured.report.model_copy(update=update), measured.logits_NC)


def _measure(
    outcome: Outcome,
    classifier: Classifier,
    teacher: EvaluatedNetwork | None,
    *,
    scored: bool = True,
) -> EvaluatedNetwork:
    wanted = outcome.spec.evaluation
    splits: list[SplitName] = [name for name in ("train", "test") if name in wanted.splits]
    return evaluate_network(
        classifier,
        outcome.dataset,
        splits=splits if scored else (),
        device=outcome.compute.device,
        teacher=teacher,
        latency=wanted.latency,
    )


def _export(outcome: Outcome, classifiers: Mapping[Run, Classifier], folder: Path) -> None:
    images_NHWC = outcome.dataset.split("test").images_NHWC[:_SAMPLE_IMAGES].copy()
    sample_images_BCHW = torch.from_numpy(images_NHWC).permute(0, 3, 1, 2).float() / 255
    for run, classifier in classifiers.items():
        if kind_of(run) == "peer":
            continue
        export_network(
            classifier,
            outcome.descriptions[run],
            run=run,
            # The others are only there to compare with, or to teach further students.
            formats=outcome.spec.exports if run in ("student", "network") else ["safetensors"],
            folder=folder,
            sample_images_BCHW=sample_images_BCHW,
        )
    control = outcome.descriptions.get("control", outcome.description)
    if control != outcome.description:
        write_text(folder / "control.json", control.model_dump_json(indent=2) + "\n")


def _write_texts(outcome: Outcome, report: Report, folder: Path) -> None:
    series = [
        MetricSeries(run, name, tuple(steps), tuple(values))
        for run, name, (steps, values) in outcome.history.items()
    ]
    write_metrics_csv(folder / "metrics.csv", series)
    write_report_html(
        folder / "report.html",
        report,
        spec=outcome.spec,
        series=series,
    )
    write_model_card(
        folder / "model_card.md", report, spec=outcome.spec, description=outcome.description
    )
    write_text(folder / "training.log", "".join(f"{line}\n" for line in outcome.log_lines()))


def _manifest_teachers(outcome: Outcome) -> list[ManifestNetwork]:
    if not isinstance(outcome.spec, DistillJob):
        return []
    return [
        ManifestNetwork(model=teacher.model, sha256=sha256)
        for teacher, sha256 in zip(outcome.spec.teachers, outcome.teachers.sha256, strict=True)
    ]


def _manifest_transfer_dataset(outcome: Outcome) -> ManifestDataset | None:
    name = outcome.spec.transfer.dataset
    if name is None or outcome.transfer_dataset is None:
        return None
    return manifest_dataset(name, outcome.transfer_dataset)
