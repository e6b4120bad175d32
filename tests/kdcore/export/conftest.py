"""Networks of every family, real-looking images, and a report with all its parts."""

# B batch, C channels, H height, W width

from collections.abc import Callable, Iterator

import pytest
import torch

from kdcore.evaluation import difference
from kdcore.export import MetricSeries
from kdcore.models import Classifier, build_network
from kdcore.report import Confusion, Environment, Latency, NetworkReport, Report, Run, SplitScores
from kdcore.spec import (
    Architecture,
    Cnn,
    DistillJob,
    ImageInput,
    Mlp,
    NetworkDescription,
    ResnetCifar,
    TeacherReference,
    TorchvisionClassifier,
    TrainJob,
)
from kdcore.spec.architectures import ActivationLayer, Conv, Dropout, Linear, Norm, Pool

HOSTILE = "<script>alert(1)</script>\"'&|`*[x](javascript:y)"

FAMILIES: dict[str, Architecture] = {
    "mlp": Mlp(hidden=(20, 12), dropout=0.2),
    "cnn": Cnn(
        layers=(
            Conv(channels=6),
            Norm(),
            ActivationLayer(name="gelu"),
            Pool(),
            Dropout(),
            Linear(features=8),
            Norm(),
            ActivationLayer(),
        )
    ),
    "resnet_cifar": ResnetCifar(depth=8, width=4),
    "torchvision/mobilenet_v3_small": TorchvisionClassifier(
        architecture="torchvision/mobilenet_v3_small"
    ),
}

Make = Callable[[NetworkDescription], Classifier]
Sample = Callable[[NetworkDescription], torch.Tensor]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _describe(family: str) -> NetworkDescription:
    side = 32 if family.startswith("torchvision") else 8
    return NetworkDescription(
        architecture=FAMILIES[family],
        input=ImageInput(
            channels=3, height=side, width=side, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3)
        ),
        num_classes=4,
        class_names=("cat", "dog", "émeu", HOSTILE),
    )


@pytest.fixture
def hostile() -> str:
    """A name that breaks out of whatever does not escape it."""
    return HOSTILE


@pytest.fixture(params=FAMILIES)
def description_of_each_family(request: pytest.FixtureRequest) -> NetworkDescription:
    return _describe(request.param)


@pytest.fixture(scope="session")
def description() -> NetworkDescription:
    return _describe("resnet_cifar")


@pytest.fixture(scope="session")
def mlp() -> NetworkDescription:
    """What exports fastest."""
    return _describe("mlp")


@pytest.fixture(scope="session")
def make_classifier() -> Make:
    """Weights from a seed, BatchNorm statistics of some noise, in training mode."""

    def make(description: NetworkDescription) -> Classifier:
        network = build_network(description, seed=0)
        generator = torch.Generator().manual_seed(0)
        images_BCHW = torch.randn(16, *description.input.shape_CHW, generator=generator)
        with torch.no_grad(), torch.random.fork_rng():
            network(images_BCHW)
        return Classifier(network, description.input)

    return make


@pytest.fixture
def classifier(make_classifier: Make, description: NetworkDescription) -> Classifier:
    return make_classifier(description)


@pytest.fixture(scope="session")
def sample_images() -> Sample:
    """Makes five images of bytes over 255, as a dataset would give them."""

    def make(description: NetworkDescription) -> torch.Tensor:
        generator = torch.Generator().manual_seed(1)
        shape = (5, *description.input.shape_CHW)
        return torch.randint(0, 256, shape, generator=generator).float() / 255

    return make


@pytest.fixture(scope="session")
def sample_images_BCHW(sample_images: Sample, description: NetworkDescription) -> torch.Tensor:
    return sample_images(description)


def _scores(matrix: tuple[tuple[int, ...], ...], *, teacher: bool) -> SplitScores:
    total = sum(map(sum, matrix))
    right = sum(matrix[label][label] for label in range(len(matrix)))
    return SplitScores(
        num_examples=total,
        num_errors=total - right,
        accuracy=right / total,
        accuracy_top5=None,
        per_class_accuracy=tuple(row[label] / sum(row) for label, row in enumerate(matrix)),
        per_class_num_examples=tuple(map(sum, matrix)),
        confusion_matrix=matrix,
        most_confused=tuple(
            Confusion(label=i, predicted=j, num_examples=number, share=number / sum(row))
            for i, row in enumerate(matrix)
            for j, number in enumerate(row)
            if number and i != j
        ),
        cross_entropy=0.4321,
        expected_calibration_error=0.0123,
        agreement=0.9 if teacher else None,
        kl_to_teacher=0.0456 if teacher else None,
    )


def _column(matrix: tuple[tuple[int, ...], ...], *, teacher: bool) -> NetworkReport:
    latency = tuple(
        Latency(
            batch_size=size,
            median_ms=size / 8,
            p95_ms=size,
            num_repeats=9,
            device="cpu",
            num_threads=2,
        )
        for size in (1, 64)
    )
    return NetworkReport(
        splits={"test": _scores(matrix, teacher=teacher)},
        parameters=12_345,
        megaflops=80.2,
        size_bytes=1_253_376,
        latency=latency,
    )


@pytest.fixture
def environment() -> Environment:
    return Environment(
        device="cpu",
        device_name="Some CPU",
        num_threads=2,
        precision="float32",
        seed=7,
        versions={"torch": "2.13.0"},
        revision=None,
    )


@pytest.fixture
def report(environment: Environment) -> Report:
    """A distillation with a control: 10 errors of 100 against 20; two classes, one hostile."""
    columns: dict[Run, NetworkReport] = {
        "teacher": _column(((49, 1), (3, 47)), teacher=False),
        "student": _column(((48, 2), (8, 42)), teacher=True),
        "control": _column(((40, 10), (10, 40)), teacher=True),
    }
    return Report(
        kind="distill",
        columns=columns,
        difference=difference(columns["student"], columns["control"]),
        class_names=("cat", HOSTILE),
        environment=environment,
    )


@pytest.fixture
def series() -> list[MetricSeries]:
    steps = tuple(range(10, 110, 10))
    rising = tuple(1 - 1 / step for step in steps)
    falling = tuple(1 / step for step in steps)
    return [
        MetricSeries("student", "test_accuracy", steps, rising),
        MetricSeries("control", "test_accuracy", steps, tuple(y - 0.01 for y in rising)),
        MetricSeries("student", "test_cross_entropy", steps, falling),
        MetricSeries("student", "logit_kd", steps, falling),
    ]


@pytest.fixture
def distill_job() -> DistillJob:
    return DistillJob(
        name=HOSTILE,
        dataset="digits",
        teachers=(TeacherReference(model="mdl_teacher"),),
        student=Mlp(hidden=(8,)),
        tags={"team": HOSTILE},
    )


@pytest.fixture
def train_job() -> TrainJob:
    return TrainJob(name="a teacher", dataset="digits", network=Mlp(hidden=(8,)))
