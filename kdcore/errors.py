"""Every error kdcore raises on purpose: facts with fields, and a message that says what to do.

KdcoreError
├── InvalidInput                 the person can mend it: fault "user"
│   ├── SpecInvalid              a job, model or network description with wrong fields
│   ├── CheckpointRejected       a foreign weights file that is not accepted
│   ├── DatasetRejected          a foreign dataset that is not accepted
│   └── IncompatibleInputs       each part is fine, together they do not fit
├── TrainingStopped              training ended before its last step
│   ├── Diverged                 the loss is no longer finite: fault "user"
│   ├── OutOfMemory              the device's memory ran out: fault "user"
│   ├── TimeLimitReached         `limits.max_seconds` is used up: fault "user"
│   └── Interrupted              asked to stop; a checkpoint was written
├── LogitsNotFinite              a network answers NaN or infinity: fault "user"
├── CalibrationFailed            no class offsets do what the rule asks: fault "user"
├── CheckpointDamaged            one of our own training checkpoints does not match its digest
├── DecoderKilled                the system ended a process that decoded a dataset's images
├── DatasetDamaged               one of our own dataset folders is not what its description says
├── ExportFailed                 an exported file does not compute what the network computes
├── PackageMissing               something was asked for that an optional package does
└── ArtifactsDamaged             a folder of artifacts is not what its manifest says
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

Fault = Literal["user", "system"]


@dataclass(frozen=True)
class Problem:
    """One thing wrong with one place of an input.

    `pointer` is a JSON pointer (RFC 6901) into the document that was sent, "" for the whole.
    `code` is stable and snake_case; `message` says what is wrong and what to do.
    """

    pointer: str
    code: str
    message: str


class KdcoreError(Exception):
    """Base of every error in this tree; `code` is stable and safe to show."""

    code: str = "kdcore_error"
    fault: ClassVar[Fault] = "system"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidInput(KdcoreError):
    """Something a person sent cannot be used as it is."""

    code = "invalid_input"
    fault = "user"


class SpecInvalid(InvalidInput):
    """A description (job, network, model) has wrong fields; `problems` names each."""

    code = "validation_failed"

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{p.pointer or '/'}: {p.message}" for p in self.problems))


class CheckpointRejected(InvalidInput):
    """A weights file is refused; `tensor` names the tensor where there is one."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        tensor: str | None = None,
        expected: str | None = None,
        found: str | None = None,
    ) -> None:
        self.code = code
        self.tensor = tensor
        self.expected = expected
        self.found = found
        super().__init__(message)


class DatasetRejected(InvalidInput):
    """A dataset file is refused; `entries` names the first offending entries (at most 20)."""

    def __init__(self, code: str, message: str, *, entries: Sequence[str] = ()) -> None:
        self.code = code
        self.entries = tuple(entries)[:20]
        super().__init__(message)


class IncompatibleInputs(InvalidInput):
    """Spec, dataset and teachers do not fit one another; `pointer` says which field to change."""

    def __init__(self, code: str, message: str, *, pointer: str = "") -> None:
        self.code = code
        self.pointer = pointer
        super().__init__(message)


class TrainingStopped(KdcoreError):
    """Training ended before its last step; `step` counts optimizer steps of the current run."""

    code = "training_stopped"

    def __init__(self, message: str, *, step: int) -> None:
        self.step = step
        super().__init__(message)


class Diverged(TrainingStopped):
    """The loss of `run` became NaN or infinite in its stage `stage`; `advice` says what to do."""

    code = "diverged"
    fault = "user"

    def __init__(self, advice: str, *, run: str, stage: str, step: int) -> None:
        self.run = run
        self.stage = stage
        super().__init__(
            f"In the stage {stage!r} of the run {run!r} the loss is no longer a finite number. "
            f"{advice}",
            step=step,
        )


class OutOfMemory(TrainingStopped):
    """The device has too little memory for this batch size and these networks."""

    code = "out_of_memory"
    fault = "user"


class TimeLimitReached(TrainingStopped):
    """The job has trained for `limits.max_seconds` without finishing."""

    code = "time_limit_reached"
    fault = "user"


class Interrupted(TrainingStopped):
    """Asked to stop; the state up to `step` is in a checkpoint."""

    code = "interrupted"


class LogitsNotFinite(KdcoreError):
    """A network gives NaN or infinite outputs, so nothing can be measured.

    `whose` is "network" or "teacher"; `num_examples` is how many inputs gave such an output.
    """

    code = "logits_not_finite"
    fault = "user"

    def __init__(self, whose: str, *, num_examples: int) -> None:
        self.whose = whose
        self.num_examples = num_examples
        super().__init__(
            f"The {whose} gives NaN or infinite outputs for {num_examples} of the images. "
            "If it was trained here, lower training.optimizer.learning_rate or set "
            "training.gradient_clip_norm; if it was uploaded, check its weights."
        )


class CalibrationFailed(KdcoreError):
    """No offsets of the classes were found that do what the calibration's rule asks."""

    code = "calibration_failed"
    fault = "user"


class CheckpointDamaged(KdcoreError):
    """A training checkpoint's bytes do not match the digest recorded for them."""

    code = "checkpoint_damaged"


class DecoderKilled(KdcoreError):
    """A process that decoded images was killed from outside, most likely for want of memory."""

    code = "decoder_killed"


class DatasetDamaged(KdcoreError):
    """A canonical dataset folder is incomplete, or differs from its `dataset.json`."""

    code = "dataset_damaged"


class ExportFailed(KdcoreError):
    """An exported file was run and disagreed with the network it came from."""

    code = "export_failed"


class PackageMissing(KdcoreError):
    """An optional package is not installed; `extra` of potstill brings it."""

    code = "package_missing"

    def __init__(self, wanted: str, *, packages: Sequence[str], extra: str) -> None:
        self.packages = tuple(packages)
        self.extra = extra
        super().__init__(
            f"{wanted} needs {', '.join(packages)}, not installed here: "
            f"pip install 'potstill[{extra}]'."
        )


class ArtifactsDamaged(KdcoreError):
    """Files of a finished job are missing or are not the bytes that its manifest names."""

    code = "artifacts_damaged"

    def __init__(self, message: str, *, missing: Sequence[str], changed: Sequence[str]) -> None:
        self.missing = tuple(missing)
        self.changed = tuple(changed)
        super().__init__(message)
