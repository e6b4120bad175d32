"""One run through its stages: what each stage computes, and what it takes over from the last."""

# B batch, C channels, F features, H height, W width

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from kdcore.devices import Compute
from kdcore.errors import Diverged, Interrupted
from kdcore.methods import CrossEntropy, Objective, Step, Term
from kdcore.models import Classifier, build_network
from kdcore.progress import Metrics, Progress, Reporter, RunEvent, StageStarted
from kdcore.seeds import derive_seed
from kdcore.teacher import Teacher
from kdcore.trainer import RunPlan
from kdcore.trainer.history import History
from kdcore.trainer.loop import TrainingLoop, Watch
from kdcore.trainer.recorder import Recorder
from tests.kdcore.trainer.run_plans import DESCRIPTION, STEPS_PER_EPOCH, plan

COMPUTE = Compute(torch.device("cpu"), "float32", num_threads=1)
HIDDEN, LAST = "hidden.0", "classifier"


class HiddenSquares(Term):
    """Mean squares of a hidden layer, brought to another width by a matrix that trains."""

    name = "hidden_squares"
    student_layers = (HIDDEN,)
    needs_teacher = False
    needs_student_logits = False

    def __init__(self) -> None:
        super().__init__()
        self.matrix_FF = nn.Parameter(torch.eye(6))

    def forward(self, step: Step) -> torch.Tensor:
        return (step.student.features[HIDDEN] @ self.matrix_FF).square().mean()


class Asked(Term):
    """Remembers what it was shown."""

    name = "asked"

    def __init__(self, *, needs_teacher_logits: bool) -> None:
        super().__init__()
        self.needs_teacher_logits = needs_teacher_logits
        self.teacher_layers = (HIDDEN,)
        self.seen: list[Step] = []

    def forward(self, step: Step) -> torch.Tensor:
        self.seen.append(step)
        return step.student.logits.square().mean()


def loop_of(run_plan: RunPlan, events: list[RunEvent] | None = None) -> TrainingLoop:
    report = (events if events is not None else []).append
    return TrainingLoop(run_plan, compute=COMPUTE, recorder=Recorder(History(), report))


def watch(
    *,
    should_stop: Callable[[], bool] = lambda: False,
    report: Reporter = lambda _event: None,
) -> Watch:
    return Watch(
        report=report,
        should_stop=should_stop,
        tell_written=lambda: None,
        is_checkpoint_due=lambda: False,
        save=lambda _loop: None,
        time_left_seconds=lambda: 1.0,
    )


def labels() -> Objective:
    return Objective([(1.0, CrossEntropy())])


def hidden() -> Objective:
    return Objective([(1.0, HiddenSquares())])


def test_layers_beyond_the_last_tapped_one_do_not_run_in_a_stage_without_logits() -> None:
    run_plan = plan([(hidden(), 2)])
    before = {name: value.clone() for name, value in state(run_plan).items()}
    calls: list[int] = []
    run_plan.classifier.network.get_submodule(LAST).register_forward_hook(
        lambda *_: calls.append(1)
    )

    loop_of(run_plan).train(watch(), dict)

    changed = {name for name, value in state(run_plan).items() if not value.equal(before[name])}
    assert calls == []
    assert changed == {f"{HIDDEN}.linear.weight", f"{HIDDEN}.linear.bias"}


def test_network_whose_reading_is_not_finite_has_diverged_and_tells_none() -> None:
    events: list[RunEvent] = []
    with pytest.raises(Diverged):
        loop_of(plan([(labels(), 2)]), events).train(
            watch(), lambda: {"test_accuracy": 0.1, "test_cross_entropy": math.inf}
        )
    told = [point.name for event in events if isinstance(event, Metrics) for point in event.points]
    assert "test_cross_entropy" not in told


def test_parameters_of_the_objective_train_with_the_student() -> None:
    objective = hidden()

    loop_of(plan([(objective, 2)])).train(watch(), dict)

    (matrix_FF,) = objective.parameters()
    assert not torch.equal(matrix_FF, torch.eye(6))


def test_second_stage_begins_with_an_optimizer_that_remembers_nothing() -> None:
    """With the momentum of the first stage kept, its first step would be another one."""
    run_plan = plan([(labels(), 2), (labels(), 1)])
    loop = loop_of(run_plan)
    with pytest.raises(Interrupted):
        loop.train(watch(should_stop=lambda: loop.step == 2), dict)
    before = {name: value.clone() for name, value in state(run_plan).items()}
    batch = run_plan.view.batch(0, 2)
    torch.manual_seed(derive_seed(0, "step", 2))
    loss = nn.functional.cross_entropy(run_plan.classifier(batch.images_BCHW), batch.labels_B)
    gradients = torch.autograd.grad(loss, list(run_plan.classifier.network.parameters()))

    loop.train(watch(), dict)

    names = [name for name, _ in run_plan.classifier.network.named_parameters()]
    for name, gradient in zip(names, gradients, strict=True):
        torch.testing.assert_close(state(run_plan)[name], before[name] - 0.1 * gradient)


def test_data_goes_on_where_the_stage_before_ended() -> None:
    first, second = Asked(needs_teacher_logits=False), Asked(needs_teacher_logits=False)
    first.needs_teacher = second.needs_teacher = False
    run_plan = plan([(Objective([(1.0, first)]), 2), (Objective([(1.0, second)]), 2)])

    loop_of(run_plan).train(watch(), dict)

    seen = [step.indices_B.tolist() for step in (*first.seen, *second.seen)]
    expected = [
        run_plan.view.batch(*divmod(s, STEPS_PER_EPOCH)).indices_B.tolist() for s in range(4)
    ]
    assert seen == expected
    assert [step.epoch for step in second.seen] == pytest.approx([2 / 3, 1.0])


@pytest.mark.parametrize("needs_logits", [True, False])
def test_teacher_answers_no_more_than_the_terms_read(needs_logits: bool) -> None:
    term = Asked(needs_teacher_logits=needs_logits)
    teacher = Teacher(Classifier(build_network(DESCRIPTION, seed=2), DESCRIPTION.input))

    loop_of(plan([(Objective([(1.0, term)]), 1)], teacher=teacher)).train(watch(), dict)

    (step,) = term.seen
    assert step.teacher is not None
    assert (step.teacher.logits_BC is not None) == needs_logits
    assert list(step.teacher.features) == [HIDDEN]
    assert step.labels is None


def test_mean_losses_never_span_two_stages() -> None:
    run_plan = plan([(hidden(), 4), (labels(), 3)])
    loop = loop_of(run_plan)

    loop.train(watch(), dict)

    history = loop.recorder.history
    assert history.series("student", "hidden_squares")[0] == [4]
    assert history.series("student", "cross_entropy")[0] == [7]
    assert history.series("student", "loss")[0] == [4, 7]


def test_accuracy_is_not_read_while_a_stage_does_not_reach_the_logits() -> None:
    loop = loop_of(plan([(hidden(), 2 * STEPS_PER_EPOCH), (labels(), STEPS_PER_EPOCH)]))

    loop.train(watch(), lambda: {"test_accuracy": 0.5})

    assert loop.recorder.history.series("student", "test_accuracy")[0] == [3 * STEPS_PER_EPOCH]


def test_student_is_back_in_training_mode_after_every_evaluation() -> None:
    """The trap: dropout and BatchNorm switched off from the first evaluation on."""
    run_plan = plan([(labels(), 2 * STEPS_PER_EPOCH)])
    network = run_plan.classifier.network
    modes: list[bool] = []
    network.register_forward_pre_hook(lambda *_: modes.append(network.training))

    def evaluate() -> dict[str, float]:
        network.eval()
        return {}

    loop_of(run_plan).train(watch(), evaluate)

    assert modes == [True] * 2 * STEPS_PER_EPOCH


def test_each_stage_is_told_when_it_begins_and_with_all_progress() -> None:
    events: list[RunEvent] = []
    loop = loop_of(plan([(hidden(), 4), (labels(), 3)]))

    loop.train(watch(report=events.append), dict)

    entered = [event for event in events if isinstance(event, StageStarted)]
    assert [(each.run, each.training_stage, each.step) for each in entered] == [
        ("student", "stage 0", 0),
        ("student", "stage 1", 4),
    ]
    told = [event.training_stage for event in events if isinstance(event, Progress)]
    assert told[-1] == "stage 1"


def test_loop_that_goes_on_within_a_stage_says_where() -> None:
    events: list[RunEvent] = []
    loop = loop_of(plan([(hidden(), 4), (labels(), 3)]))
    loop.enter_stage(1)
    loop.step = 6

    loop.train(watch(report=events.append), dict)

    (entered,) = [event for event in events if isinstance(event, StageStarted)]
    assert (entered.stage, entered.training_stage, entered.step) == ("training", "stage 1", 6)


def state(run_plan: RunPlan) -> dict[str, torch.Tensor]:
    return dict(run_plan.classifier.network.state_dict())
