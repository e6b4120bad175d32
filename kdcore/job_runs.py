"""The runs of a job: which there are, and what each of them trains.

V examples of the validation hold-out.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch.nn import functional

from kdcore.catalog.layer_shapes import LayerShapes, by_name
from kdcore.classifier_reuse import plan_reuse, take_over_classifier
from kdcore.data import ArrayDataset, ArraySplit, TrainView
from kdcore.data.transfer import held_out_examples
from kdcore.devices import Compute
from kdcore.distributed import ALONE, World
from kdcore.evaluation import DEFAULT_BATCH_SIZE, predict_logits_together
from kdcore.methods import MethodInputs, build_stages
from kdcore.models import (
    Classifier,
    build_network,
    channels_last,
    load_weights,
    tappable_layers,
)
from kdcore.report import Run, StageReport
from kdcore.seeds import derive_seed
from kdcore.spec import DistillJob, NetworkDescription, SimKd, TrainJob
from kdcore.spec.runs import TEACHERS, peer_architectures, plan_runs
from kdcore.spec.stages import SINGLE_STAGE, PlannedStage, plan_control, plan_stages
from kdcore.teacher import AnyTeacher, Teacher, Teachers
from kdcore.trainer import RunPlan, StagePlan
from kdcore.trainer.checkpoints import Tensors

JobSpec = TrainJob | DistillJob


class JobRuns:
    """The networks and data of one job, made for the trainer as it asks for them."""

    def __init__(
        self,
        spec: JobSpec,
        dataset: ArrayDataset,
        *,
        transfer_dataset: ArrayDataset | None = None,
        teachers: Teachers,
        compute: Compute,
        world: World = ALONE,
    ) -> None:
        self.spec = spec
        self._world = world
        self.dataset = dataset
        self.teachers = teachers
        self.teacher = teachers.together(spec) if isinstance(spec, DistillJob) else None
        self.compute = compute
        self.description = describe_network(spec, dataset)
        self._planned_runs = {planned.name: planned for planned in plan_runs(spec)}
        self.runs: tuple[Run, ...] = tuple(self._planned_runs)
        seed, device = spec.training.seed, compute.device
        held_out_N = held_out_examples(dataset.split("train").labels_N, spec.transfer, seed=seed)
        self.validation_indices_V = np.flatnonzero(held_out_N)
        """Positions in the dataset's train split of the images that no run trains on."""
        self.transfer_split = (transfer_dataset or dataset).split("train")
        """The train split that is learned from."""
        self._view = TrainView(
            self.transfer_split,
            transfer=spec.transfer,
            batch_size=spec.training.batch_size,
            seed=seed,
            device=device,
            num_processes=world.size,
        )

    def plan(self, run: Run, finished: Mapping[Run, Tensors]) -> RunPlan:
        """Make a run with fresh weights: student and control begin with the same.

        Runs that teach are taken from `finished`, which holds all that come before `run`.
        """
        spec, description = self.spec, self.describe(run)
        purpose = "weights" if self._planned_runs[run].is_student else f"weights of {run}"
        network = build_network(
            description,
            device=self.compute.device,
            seed=derive_seed(spec.training.seed, purpose),
        )
        teacher = self._teacher_of(run, finished)
        if isinstance(self._planned_runs[run].method, SimKd) and isinstance(teacher, Teacher):
            layers = layers_of(self.teachers.descriptions[0])
            take_over_classifier(network, teacher, teacher_layers=layers)
        per_epoch = self._view.steps_per_epoch
        lengths = {each: _steps_of(self._planned(each), per_epoch) for each in self.runs}
        before = self.runs[: self.runs.index(run)]
        return RunPlan(
            run=run,
            classifier=Classifier(channels_last(network), description.input),
            teacher=teacher,
            view=self._view,
            training=spec.training,
            stages=self._stages(run, teacher),
            evaluate_every_epochs=spec.evaluation.every_epochs,
            steps_before=sum(lengths[each] for each in before),
            job_steps=sum(lengths.values()),
        )

    def describe(self, run: Run) -> NetworkDescription:
        """Describe the network of a run, or a peer; all take the dataset's images and classes."""
        peers = peer_architectures(self.spec)
        if run in peers:
            return self.description.model_copy(update={"architecture": peers[run]})
        planned = self._planned_runs[run]
        description = self.description.model_copy(update={"architecture": planned.architecture})
        if isinstance(planned.method, SimKd) and isinstance(self.teacher, Teacher):
            return plan_reuse(
                planned.method,
                description,
                self.teacher,
                student_layers=layers_of(description),
                teacher_layers=layers_of(self.teachers.descriptions[0]),
            )
        return description

    def _teacher_of(self, run: Run, finished: Mapping[Run, Tensors]) -> AnyTeacher | None:
        taught_by = self._planned_runs[run].taught_by
        if taught_by is None or taught_by == TEACHERS:
            return self.teacher if taught_by else None
        description = self.describe(taught_by)
        network = build_network(description)
        load_weights(network, finished[taught_by])
        classifier = Classifier(network.to(self.compute.device), description.input)
        return Teacher(classifier, autocast_dtype=self.compute.autocast_dtype)

    def validation(self) -> ArraySplit | None:
        """Give the hold-out of the train split; None if `validation_fraction` is 0."""
        if not len(self.validation_indices_V):
            return None
        return self.dataset.split("train").subset(self.validation_indices_V)

    def stages_of(self, run: Run) -> tuple[StageReport, ...]:
        """Tell the stages of a run, as the report does."""
        stages: list[StageReport] = []
        first_step = 0
        for planned in self._planned(run):
            num_steps = planned.steps(self._view.steps_per_epoch)
            stages.append(
                StageReport(name=planned.name, first_step=first_step, num_steps=num_steps)
            )
            first_step += num_steps
        return tuple(stages)

    def _planned(self, run: Run) -> tuple[PlannedStage, ...]:
        """Tell the stages of a run and their lengths, without what they minimise."""
        if not isinstance(self.spec, DistillJob):
            return plan_stages(SINGLE_STAGE, self.spec.training)
        method = self.spec.method
        stages = plan_stages(method.STAGES, self.spec.training, optimizers=method.STAGE_OPTIMIZERS)
        if self._planned_runs[run].method is None:
            return (plan_control(stages, self._view.steps_per_epoch),)
        return stages

    def _stages(self, run: Run, teacher: AnyTeacher | None) -> tuple[StagePlan, ...]:
        planned_run = self._planned_runs[run]
        reads_layers = planned_run.taught_by == TEACHERS and isinstance(teacher, Teacher)
        inputs = MethodInputs(
            student=self.describe(run),
            student_layers=layers_of(self.describe(run)),
            teacher_layers=layers_of(self.teachers.descriptions[0]) if reads_layers else {},
            teacher=teacher if isinstance(teacher, Teacher) else None,
            num_examples=self._view.num_examples,
            seed=derive_seed(self.spec.training.seed, "method"),
        )
        built = build_stages(planned_run.method, inputs)
        stages: list[StagePlan] = []
        for planned, stage in zip(self._planned(run), built, strict=True):
            stages.append(
                StagePlan(
                    name=planned.name,
                    objective=stage.objective,
                    optimizer=planned.optimizer,
                    schedule=planned.schedule,
                    first_step=stages[-1].end_step if stages else 0,
                    num_steps=planned.steps(self._view.steps_per_epoch),
                )
            )
        return tuple(stages)

    def evaluate(self, plan: RunPlan) -> dict[str, float]:
        """Accuracy and cross-entropy on the test split, for the live curve."""
        test = self.dataset.split("test")
        logits_NC = predict_logits_together(
            plan.classifier,
            test,
            num_classes=self.description.num_classes,
            batch_size=DEFAULT_BATCH_SIZE,
            device=self.compute.device,
            world=self._world,
        )
        labels_N = torch.from_numpy(test.labels_N.copy())
        accuracy = (logits_NC.argmax(dim=1) == labels_N).double().mean()
        return {
            "test_accuracy": float(accuracy),
            "test_cross_entropy": float(functional.cross_entropy(logits_NC, labels_N)),
        }


def describe_network(spec: JobSpec, dataset: ArrayDataset) -> NetworkDescription:
    """Describe the network that `spec` trains on `dataset`: its input, classes, normalisation."""
    description = dataset.description
    return NetworkDescription(
        architecture=spec.student if isinstance(spec, DistillJob) else spec.network,
        input=description.image_input,
        num_classes=description.num_classes,
        class_names=description.class_names,
    )


def layers_of(description: NetworkDescription) -> LayerShapes:
    """Give the shape of every layer that can be tapped, by name."""
    return by_name(tappable_layers(description))


def _steps_of(stages: Sequence[PlannedStage], steps_per_epoch: int) -> int:
    return sum(stage.steps(steps_per_epoch) for stage in stages)
