"""Small jobs get one thread, large ones all; what cannot be worked out gets all."""

from kdcore.spec import (
    Cnn,
    DistillJob,
    EnsembleMember,
    EvaluateJob,
    ImageInput,
    Mlp,
    NetworkDescription,
    Resources,
    TeacherReference,
    TorchvisionClassifier,
    TrainingSpec,
    TrainJob,
)
from kdcore.spec.architectures import Pool
from worker.threads import choose_threads, step_flops

DIGITS = {
    "image": {"channels": 1, "height": 8, "width": 8},
    "class_names": [str(digit) for digit in range(10)],
}
TEACHER = NetworkDescription(
    architecture=Mlp(hidden=(1000,)),
    input=ImageInput(channels=1, height=8, width=8),
    num_classes=10,
)


def train(network: Mlp | Cnn | TorchvisionClassifier) -> TrainJob:
    return TrainJob(dataset="digits", network=network, training=TrainingSpec(batch_size=100))


def threads(job: TrainJob) -> int:
    return choose_threads(job, dataset=DIGITS, teachers=(), available=8)


def test_operations_of_a_step_count_forward_and_backward_of_every_image() -> None:
    job = train(Mlp(hidden=(16,)))
    assert step_flops(job, dataset=DIGITS, teachers=()) == 100 * 3 * 2 * (64 * 16 + 16 * 10)


def test_teacher_counts_forward_only() -> None:
    job = DistillJob(
        dataset="digits",
        teachers=(TeacherReference(model="mdl_1"),),
        student=Mlp(hidden=()),
        training=TrainingSpec(batch_size=100),
    )
    expected = 100 * 2 * (3 * 64 * 10 + 64 * 1000 + 1000 * 10)
    assert step_flops(job, dataset=DIGITS, teachers=[TEACHER]) == expected


def test_costliest_of_several_runs_counts() -> None:
    job = DistillJob(
        dataset="digits",
        teachers=(TeacherReference(model="mdl_1"),),
        assistants=(Mlp(hidden=(500,)),),
        student=Mlp(hidden=()),
        training=TrainingSpec(batch_size=100),
    )
    expected = 100 * 2 * (3 * (64 * 500 + 500 * 10) + 64 * 1000 + 1000 * 10)
    assert step_flops(job, dataset=DIGITS, teachers=[TEACHER]) == expected


def test_small_steps_get_one_thread_and_large_ones_all() -> None:
    assert threads(train(Mlp(hidden=(16,)))) == 1
    assert threads(train(Mlp(hidden=(4000, 4000)))) == 8


def test_what_only_torchvision_knows_gets_all() -> None:
    assert threads(train(TorchvisionClassifier(architecture="torchvision/resnet18"))) == 8


def test_network_that_does_not_fit_is_left_to_the_child() -> None:
    too_small = Cnn(layers=(Pool(size=16),))
    assert threads(train(too_small)) == 8


def test_evaluation_of_whole_splits_gets_all() -> None:
    job = EvaluateJob(dataset="digits", models=(EnsembleMember(model="mdl_1"),))
    assert choose_threads(job, dataset=DIGITS, teachers=[TEACHER], available=8) == 8


def test_processes_that_share_a_step_share_its_operations() -> None:
    alone = train(Mlp(hidden=(5000,)))
    shared = alone.model_copy(update={"resources": Resources(num_processes=2)})
    assert (threads(alone), threads(shared)) == (8, 1)
