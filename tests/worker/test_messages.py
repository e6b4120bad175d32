"""Orders and messages survive the way between the processes, and nothing else gets through."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from kdcore.spec import DistillJob, ImageInput, Mlp, NetworkDescription, TeacherReference
from worker.messages import (
    INGEST_ORDER,
    MESSAGE,
    BuiltinOrder,
    DeclaredNetwork,
    IngestLimits,
    ModelOrder,
    Rejected,
    TeacherFiles,
    TrainOrder,
)

IMAGE = ImageInput(channels=1, height=8, width=8, mean=(0.3,), std=(0.4,))
LIMITS = IngestLimits(memory_bytes=1, file_bytes=2, cpu_seconds=3, wall_seconds=4.0)


def test_training_order_keeps_spec_and_teachers() -> None:
    order = TrainOrder(
        spec=DistillJob(
            dataset="digits",
            teachers=(TeacherReference(model="mdl_1"),),
            student=Mlp(hidden=(4,)),
        ),
        dataset=Path("/data"),
        teachers=(
            TeacherFiles(
                description=NetworkDescription(
                    architecture=Mlp(hidden=(8,)), input=IMAGE, num_classes=10
                ),
                weights=Path("/teacher"),
            ),
        ),
        folder=Path("/run"),
        device="cpu",
        num_threads=2,
        checkpoint_seconds=20.0,
        job_id="job_1",
        attempts=(),
    )
    assert TrainOrder.model_validate_json(order.model_dump_json()) == order


def test_ingest_orders_are_told_apart() -> None:
    for order in (
        ModelOrder(
            source=Path("/source"),
            declared=DeclaredNetwork(architecture=Mlp(hidden=(8,)), input=IMAGE),
            destination=Path("/destination"),
            limits=LIMITS,
        ),
        BuiltinOrder(name="digits", destination=Path("/d"), thumbnails=Path("/t"), limits=LIMITS),
    ):
        assert INGEST_ORDER.validate_json(order.model_dump_json()) == order


def test_message_is_told_by_its_type() -> None:
    message = Rejected(code="checkpoint_is_pickle", message="Save it again.", details=("a",))
    assert MESSAGE.validate_json(message.model_dump_json()) == message


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"type": "ready"}',
        '{"type": "ready", "device": "cpu", "more": 1}',
        '{"type": "dataset_accepted", "thumbnails": [{"label": -1, "class_name": ""}]}',
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        MESSAGE.validate_json(text)
