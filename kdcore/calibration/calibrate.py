"""Calibrates the trained networks of a job as its spec says.

N images, C classes.
"""

from collections.abc import Mapping

import numpy as np
import torch

from kdcore.calibration.accuracy_search import most_accurate_offsets
from kdcore.calibration.class_biases import add_to_class_biases
from kdcore.calibration.prior_matching import match_prior
from kdcore.data import ArrayDataset, ArraySplit
from kdcore.data.transfer import held_out_examples, select_examples
from kdcore.errors import LogitsNotFinite
from kdcore.evaluation import DEFAULT_BATCH_SIZE, EvaluatedNetwork, predict_logits, score
from kdcore.models import Classifier
from kdcore.report import CalibrationReport, Run, SplitScores
from kdcore.spec import (
    BestOnValidation,
    DistillJob,
    FixedOffsets,
    MatchPrior,
    NoCalibration,
)

Rule = FixedOffsets | MatchPrior | BestOnValidation

# What the job is for; networks that only teach the student stay as they taught.
_CALIBRATED: tuple[Run, ...] = ("student", "control")


def calibrate(
    spec: DistillJob,
    dataset: ArrayDataset,
    classifiers: Mapping[Run, Classifier],
    *,
    transfer_dataset: ArrayDataset | None = None,
    device: torch.device,
) -> dict[Run, torch.Tensor]:
    """Shift the class biases of the student and of its control, each by its own offsets.

    Args:
        spec: Its `calibration` is the rule; `transfer` and the seed say which images it sees.
        dataset: What the job evaluates on. No rule looks at the test split.
        transfer_dataset: What it trained on, if not the train split of `dataset`.
        classifiers: On `device`; changed in place.
        device: Where to predict.

    Returns:
        offsets_C by run, float64 on the CPU; nothing for the rule none.

    Raises:
        CalibrationFailed, LogitsNotFinite: there are no such offsets.
    """
    offsets: dict[Run, torch.Tensor] = {}
    rule = spec.calibration
    if isinstance(rule, NoCalibration):
        return offsets
    for run, classifier in classifiers.items():
        if run in _CALIBRATED:
            offsets[run] = _find_offsets(
                rule, spec, dataset, classifier, transfer_dataset=transfer_dataset, device=device
            )
            image = dataset.description.image_input
            add_to_class_biases(classifier.network, image, offsets[run])
    return offsets


def _find_offsets(
    rule: Rule,
    spec: DistillJob,
    dataset: ArrayDataset,
    classifier: Classifier,
    *,
    transfer_dataset: ArrayDataset | None,
    device: torch.device,
) -> torch.Tensor:
    train, seed = dataset.split("train"), spec.training.seed
    num_classes = dataset.description.num_classes
    match rule:
        case FixedOffsets(offsets=given):
            offsets_C = torch.zeros(num_classes, dtype=torch.float64)
            for one in given:
                offsets_C[one.label] = one.offset
            return offsets_C
        case MatchPrior():
            if rule.images == "transfer":
                train = (transfer_dataset or dataset).split("train")
                train = train.subset(select_examples(train.labels_N, spec.transfer, seed=seed))
            counts = dataset.description.splits["train"].class_counts
            return match_prior(
                _finite_logits(classifier, train, device=device),
                rule.shares(counts),
                moved=rule.moved(num_classes),
            )
        case BestOnValidation():
            held_out_N = held_out_examples(train.labels_N, spec.transfer, seed=seed)
            held_out = train.subset(np.flatnonzero(held_out_N))
            return most_accurate_offsets(
                _finite_logits(classifier, held_out, device=device),
                torch.from_numpy(held_out.labels_N.copy()),
                moved=rule.moved(spec.transfer.exclude_classes),
            )


def report_calibration(
    spec: DistillJob,
    dataset: ArrayDataset,
    offsets: Mapping[Run, torch.Tensor],
    evaluated: Mapping[Run, EvaluatedNetwork],
    *,
    teacher: EvaluatedNetwork | None,
) -> CalibrationReport | None:
    """Tell the offsets and what each network scored without them; None if none were applied.

    Args:
        spec: Its `calibration` is the rule.
        dataset: What the networks were evaluated on.
        offsets: As `calibrate` gave them.
        evaluated: The networks with the offsets in them.
        teacher: What they are compared with.
    """
    if isinstance(spec.calibration, NoCalibration):
        return None
    return CalibrationReport(
        rule=spec.calibration.rule,
        offsets={run: tuple(offsets_C.tolist()) for run, offsets_C in offsets.items()},
        before={
            run: _scores_before(evaluated[run], offsets_C, dataset, teacher)
            for run, offsets_C in offsets.items()
        },
    )


def _scores_before(
    evaluated: EvaluatedNetwork,
    offsets_C: torch.Tensor,
    dataset: ArrayDataset,
    teacher: EvaluatedNetwork | None,
) -> dict[str, SplitScores]:
    # Taking the offsets off again spares a second pass over the images.
    return {
        str(name): score(
            logits_NC.double() - offsets_C,
            torch.from_numpy(dataset.split(name).labels_N.copy()),
            teacher_logits_NC=None if teacher is None else teacher.logits_NC[name],
        )
        for name, logits_NC in evaluated.logits_NC.items()
    }


def _finite_logits(
    classifier: Classifier, split: ArraySplit, *, device: torch.device
) -> torch.Tensor:
    logits_NC = predict_logits(classifier, split, batch_size=DEFAULT_BATCH_SIZE, device=device)
    is_bad_N = ~torch.isfinite(logits_NC).all(dim=1)
    if bool(is_bad_N.any()):
        raise LogitsNotFinite("network", num_examples=int(is_bad_N.sum()))
    return logits_NC
