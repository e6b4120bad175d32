"""Carries out an `evaluate` job: networks measured each alone and all together."""

from collections.abc import Callable, Sequence
from pathlib import Path

from kdcore.artifacts import Artifact, Provenance, list_artifacts, manifest_dataset
from kdcore.data import ArrayDataset, SplitName
from kdcore.devices import Compute
from kdcore.errors import Interrupted
from kdcore.evaluation import (
    describe_environment,
    evaluate_ensemble,
    evaluate_network,
    mean_scores,
)
from kdcore.export.atomic import write_text
from kdcore.export.manifest_file import write_manifest
from kdcore.export.report_html import write_report_html
from kdcore.manifest import ManifestNetwork, build_manifest
from kdcore.progress import Reporter, StageStarted
from kdcore.report import NetworkReport, Report, Run
from kdcore.spec import EvaluateJob
from kdcore.teacher import TeacherInput, Teachers, load_teachers


def evaluate_models(
    spec: EvaluateJob,
    *,
    dataset: ArrayDataset,
    networks: Sequence[TeacherInput],
    folder: Path,
    compute: Compute,
    reporter: Reporter,
    should_stop: Callable[[], bool],
    provenance: Provenance,
) -> tuple[Report, tuple[Artifact, ...]]:
    """Measure every network of `spec`, and their mean where there are several.

    Writes `report.json`, `report.html` and `manifest.json` below `folder`.

    Args:
        spec: The job.
        dataset: What they are measured on.
        networks: One for each of `spec.models`, in their order.
        folder: Where to write; made if missing.
        compute: Where to predict, always in float32.
        reporter: Is told the stages.
        should_stop: Asked before each network.
        provenance: For the manifest.

    Raises:
        LogitsNotFinite: a network gives NaN or infinity.
        Interrupted: `should_stop` said so; nothing is kept.
    """
    reporter(StageStarted(stage="evaluating"))
    loaded = load_teachers(networks, compute)
    report = _measure(spec, dataset, loaded, compute, should_stop)
    reporter(StageStarted(stage="exporting"))
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "report.json", report.model_dump_json(indent=2) + "\n")
    write_report_html(folder / "report.html", report, spec=spec)
    manifest = build_manifest(
        folder,
        spec=spec,
        environment=report.environment,
        models=[
            ManifestNetwork(model=member.model, sha256=sha256)
            for member, sha256 in zip(spec.models, loaded.sha256, strict=True)
        ],
        dataset=manifest_dataset(spec.dataset, dataset),
        attempts=provenance.attempts,
        job_id=provenance.job_id,
    )
    write_manifest(folder, manifest)
    return report, list_artifacts(folder)


def _measure(
    spec: EvaluateJob,
    dataset: ArrayDataset,
    networks: Teachers,
    compute: Compute,
    should_stop: Callable[[], bool],
) -> Report:
    splits: list[SplitName] = [n for n in ("train", "test") if n in spec.evaluation.splits]
    members = []
    for network in networks.members:
        if should_stop():
            raise Interrupted("Asked to stop; run the job again to measure anew.", step=0)
        members.append(
            evaluate_network(
                network.classifier,
                dataset,
                splits=splits,
                device=compute.device,
                latency=spec.evaluation.latency,
            )
        )
    columns: dict[Run, NetworkReport] = {
        f"network_{number}": one.report for number, one in enumerate(members, start=1)
    }
    means = None
    if len(members) > 1:
        weights = [member.weight for member in spec.models]
        together = evaluate_ensemble(members, dataset, weights=weights, average=spec.average)
        means = {
            str(split): mean_scores([one.report.splits[split] for one in members])
            for split in splits
        }
        columns["ensemble"] = together.report
    return Report(
        kind="evaluate",
        dataset=spec.dataset,
        columns=columns,
        mean_of_networks=means,
        evaluated_weights="as_given",
        class_names=dataset.description.class_names,
        environment=describe_environment(compute, seed=0),
    )
