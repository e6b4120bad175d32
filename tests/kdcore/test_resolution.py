"""A job is resolved before anything is trained: its layers chosen, its stages planned."""

from typing import ClassVar, Literal

import pytest

from kdcore.errors import IncompatibleInputs
from kdcore.resolution import resolve_job
from kdcore.spec import DistillJob, Mlp, TeacherReference, TrainingSpec, TrainJob
from kdcore.spec.methods import Fsp, LayerPair, LogitKd
from kdcore.spec.methods.base import Pairing
from kdcore.spec.methods.layers import LayerPairs
from kdcore.spec.stages import plan_stages
from kdcore.spec.training import Adam, Sgd, StageSpec
from tests.kdcore.pairing.networks import MLP2, MLP3, RESNET8, layers_of


class TwoStages(LogitKd):
    """Stands for a method with an earlier stage and layers, whatever it computes."""

    name: Literal["logit_kd"] = "logit_kd"
    STAGES: ClassVar[tuple[str, ...]] = ("hint", "training")
    PAIRING: ClassVar[Pairing] = "middle"
    layers: LayerPairs = ()


def job(method: LogitKd, training: TrainingSpec) -> DistillJob:
    given = DistillJob(
        dataset="digits", teachers=(TeacherReference(model="mdl_1"),), student=Mlp(hidden=(4,))
    )
    return given.model_copy(update={"method": method, "training": training})


def resolved(given: DistillJob) -> DistillJob:
    return resolve_job(given, student_layers=layers_of(MLP2), teacher_layers=layers_of(MLP3))


def test_layers_and_stages_are_filled_in() -> None:
    hint = StageSpec(stage="hint", num_steps=7, optimizer=Sgd(learning_rate=0.5))
    training = TrainingSpec(num_epochs=9, stages=(hint,))

    spec = resolved(job(TwoStages(), training))

    assert isinstance(spec.method, TwoStages)
    assert spec.method.layers == (
        LayerPair(
            student="hidden.1.linear@input", teacher="hidden.2.linear@input", adapter="linear"
        ),
    )
    assert spec.training.stages == (
        StageSpec(
            stage="hint",
            num_steps=7,
            optimizer=Sgd(learning_rate=0.5),
            schedule=training.schedule,
        ),
        StageSpec(
            stage="training",
            num_epochs=9,
            optimizer=training.optimizer,
            schedule=training.schedule,
        ),
    )


def test_optimizer_that_a_method_brings_for_a_stage_is_filled_in() -> None:
    given = job(LogitKd(), TrainingSpec(optimizer=Sgd())).model_copy(update={"method": Fsp()})

    spec = resolve_job(given, student_layers=None, teacher_layers=None)

    assert [(stage.stage, stage.optimizer) for stage in spec.training.stages] == [
        ("fsp", Adam(learning_rate=1e-3)),
        ("training", Sgd()),
    ]
    assert resolve_job(spec, student_layers=None, teacher_layers=None) == spec


def test_planned_stages_mean_what_the_left_out_ones_meant() -> None:
    training = TrainingSpec(num_epochs=9)

    planned = resolved(job(TwoStages(), training)).training

    names = TwoStages.STAGES
    assert plan_stages(names, planned) == plan_stages(names, training)


def test_resolving_what_is_resolved_changes_nothing() -> None:
    once = resolved(job(TwoStages(), TrainingSpec()))

    assert resolved(once) == once


def test_layers_stay_open_where_a_network_is_not_known() -> None:
    given = job(TwoStages(), TrainingSpec())

    spec = resolve_job(given, student_layers=None, teacher_layers=layers_of(MLP3))

    assert isinstance(spec.method, TwoStages)
    assert spec.method.layers == ()
    assert [stage.stage for stage in spec.training.stages] == ["hint", "training"]


def test_job_of_one_stage_without_layers_and_train_job_stay_as_they_are() -> None:
    distillation = job(LogitKd(), TrainingSpec())
    training = TrainJob(dataset="digits", network=Mlp(hidden=(4,)))

    assert resolved(distillation) == distillation
    assert resolve_job(training, student_layers=None, teacher_layers=None) is training


def test_misfit_is_refused_with_a_pointer_into_the_job() -> None:
    pair = LayerPair(student="hidden.0", teacher="hidden.1")
    with pytest.raises(IncompatibleInputs) as refused:
        resolved(job(TwoStages(layers=(pair,)), TrainingSpec()))

    assert refused.value.pointer == "/method/layers/0/adapter"


def test_networks_that_share_nothing_are_refused() -> None:
    given = job(TwoStages(), TrainingSpec())
    with pytest.raises(IncompatibleInputs, match=r"Name them in method\.layers"):
        resolve_job(
            given,
            student_layers=layers_of(RESNET8, side=24),
            teacher_layers=layers_of(RESNET8, side=32),
        )
