"""The runs of a job: which networks it trains, in which order, and who teaches whom. No torch."""

from dataclasses import dataclass

from kdcore.report import Run
from kdcore.spec.architectures import Architecture
from kdcore.spec.evaluation import EvaluateJob
from kdcore.spec.jobs import AnyJob, DistillJob, TrainJob
from kdcore.spec.methods import MethodSpec, MutualLearning, SelfDistillation

TEACHERS = "teacher"
"""What the teachers that a spec names are called together."""


@dataclass(frozen=True)
class PlannedRun:
    """One network that a job trains.

    Attributes:
        name: Of the run, as curves, report and files call it.
        architecture: What is trained.
        method: What it learns by; None for labels alone.
        taught_by: `TEACHERS`, or an earlier run; None for a run without a teacher.
        is_student: Whether it is the network that the job is for, or its control: the two begin
            with the same weights.
    """

    name: Run
    architecture: Architecture
    method: MethodSpec | None = None
    taught_by: Run | None = None
    is_student: bool = True


def plan_runs(spec: AnyJob) -> tuple[PlannedRun, ...]:
    """Plan the runs of a job in the order in which they train; an evaluation has none."""
    if isinstance(spec, EvaluateJob):
        return ()
    if isinstance(spec, TrainJob):
        return (PlannedRun("network", spec.network),)
    control = PlannedRun("control", spec.student)
    if isinstance(spec.method, SelfDistillation):
        return control, *_generations(spec, spec.method.generations)
    return *_chain(spec), *([control] if spec.control else [])


def peer_architectures(spec: AnyJob) -> dict[Run, Architecture]:
    """Give what learns beside the student, in the student's own run."""
    if not isinstance(spec, DistillJob) or not isinstance(spec.method, MutualLearning):
        return {}
    architectures = spec.method.architectures(spec.student)
    return {f"peer_{number}": each for number, each in enumerate(architectures, start=1)}


def _chain(spec: DistillJob) -> list[PlannedRun]:
    """Plan the assistants, each under the one before, and the student under the last."""
    taught_by: Run | None = TEACHERS if spec.teachers else None
    runs = []
    for number, architecture in enumerate(spec.assistants, start=1):
        name = f"assistant_{number}"
        runs.append(PlannedRun(name, architecture, spec.method, taught_by, is_student=False))
        taught_by = name
    return [*runs, PlannedRun("student", spec.student, spec.method, taught_by)]


def _generations(spec: DistillJob, number_of_generations: int) -> list[PlannedRun]:
    """Plan what follows the control, which is generation 0; the last one is the student."""
    taught_by: Run = "control"
    runs = []
    for number in range(1, number_of_generations):
        name = f"generation_{number}"
        runs.append(PlannedRun(name, spec.student, spec.method, taught_by, is_student=False))
        taught_by = name
    return [*runs, PlannedRun("student", spec.student, spec.method, taught_by)]
