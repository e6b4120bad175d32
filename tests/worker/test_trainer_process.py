"""The training child: events while it works, one last word whatever happens, nothing else."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kdcore.progress import CheckpointSaved, Metrics, Resumed, StageStarted
from kdcore.spec import TrainJob
from tests.worker.jobs_on_digits import TIMEOUT_SECONDS, small_job
from worker.child import Child, ChildGone
from worker.messages import Failed, Finished, Message, Ready, Stopped, TrainOrder
from worker.spare import SpareTrainer

MakeOrder = Callable[..., TrainOrder]


@pytest.fixture
def trainer(spare: SpareTrainer) -> Iterator[Child]:
    child = spare.take()
    yield child
    child.kill()
    child.wait()
    spare.start()


@pytest.fixture
def make_order(digits_folder: Path, tmp_path: Path) -> MakeOrder:
    def make(
        spec: TrainJob,
        *,
        dataset: Path = digits_folder,
        transfer_dataset: Path | None = None,
    ) -> TrainOrder:
        return TrainOrder(
            spec=spec,
            dataset=dataset,
            transfer_dataset=transfer_dataset,
            teachers=(),
            folder=tmp_path / "run",
            device="cpu",
            num_threads=1,
            checkpoint_seconds=3600.0,
            job_id="job_1",
            attempts=(),
        )

    return make


def messages_of(child: Child) -> Iterator[Message]:
    """Everything that a child says until it closes its end, but that it is ready."""
    while True:
        try:
            message = child.receive(timeout_seconds=TIMEOUT_SECONDS)
        except ChildGone:
            return
        assert message is not None
        if not isinstance(message, Ready):
            yield message


def last_word(child: Child) -> Message:
    return list(messages_of(child))[-1]


def test_finished_job_names_its_files_and_reports(trainer: Child, make_order: MakeOrder) -> None:
    trainer.order(make_order(small_job()))
    *events, last = messages_of(trainer)
    assert isinstance(last, Finished)
    assert all(file.path.stat().st_size == file.size_bytes for file in last.artifacts)
    assert list(last.report.columns) == ["network"]
    assert any(isinstance(event, Metrics) for event in events)
    assert trainer.wait() == 0


def test_other_transfer_set_is_learned_from(
    trainer: Child, make_order: MakeOrder, digits_folder: Path
) -> None:
    job = small_job()
    transfer = job.transfer.model_copy(update={"dataset": "elsewhere"})
    spec = job.model_copy(update={"transfer": transfer})
    trainer.order(make_order(spec, transfer_dataset=digits_folder))
    last = last_word(trainer)
    assert isinstance(last, Finished)
    assert (last.report.dataset, last.report.transfer_dataset) == ("digits", "elsewhere")


def test_asked_to_stop_it_saves_and_says_so_and_the_next_goes_on(
    trainer: Child, make_order: MakeOrder, spare: SpareTrainer
) -> None:
    order = make_order(small_job(num_epochs=100_000))
    trainer.order(order)
    stream = messages_of(trainer)
    assert any(isinstance(event, Metrics) for event in stream)
    trainer.terminate()
    *_, saved, last = stream
    assert isinstance(saved, CheckpointSaved)
    assert last == Stopped(step=saved.step)
    next_child = spare.take()
    next_child.order(order)
    resumed = next(event for event in messages_of(next_child) if isinstance(event, Resumed))
    assert resumed.step == saved.step
    next_child.kill()
    next_child.wait()


def test_ctrl_c_in_a_terminal_does_not_reach_it(trainer: Child) -> None:
    assert os.getpgid(trainer.pid) == trainer.pid != os.getpgid(0)
    assert os.getsid(trainer.pid) == trainer.pid


def test_users_mistake_is_told_with_its_code(trainer: Child, make_order: MakeOrder) -> None:
    spec = small_job()
    transfer = spec.transfer.model_copy(update={"exclude_classes": (77,)})
    trainer.order(make_order(spec.model_copy(update={"transfer": transfer})))
    last = last_word(trainer)
    assert isinstance(last, Failed)
    assert (last.code, last.fault, last.cause) == ("unknown_class", "user", "user_error")
    assert last.pointer == "/transfer/exclude_classes"


def test_damaged_input_is_the_systems_fault(
    trainer: Child, make_order: MakeOrder, tmp_path: Path
) -> None:
    trainer.order(make_order(small_job(), dataset=tmp_path / "nothing"))
    last = last_word(trainer)
    assert isinstance(last, Failed)
    assert (last.code, last.fault) == ("dataset_damaged", "system")


def test_unforeseen_error_gives_no_library_text_away(
    trainer: Child, make_order: MakeOrder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "run").write_text("a file where the folder must be")
    trainer.order(make_order(small_job()))
    last = last_word(trainer)
    trainer.wait()
    assert isinstance(last, Failed)
    assert (last.code, last.fault, last.cause) == ("internal_error", "system", "system_error")
    assert str(tmp_path) not in last.message
    assert any("NotADirectoryError" in vars(record).get("detail", "") for record in caplog.records)


def test_stages_come_before_what_they_bring(trainer: Child, make_order: MakeOrder) -> None:
    trainer.order(make_order(small_job()))
    stages = [event.stage for event in messages_of(trainer) if isinstance(event, StageStarted)]
    assert stages == ["preparing", "training", "evaluating", "exporting"]


def test_signal_before_the_order_ends_it(trainer: Child) -> None:
    assert trainer.receive(timeout_seconds=TIMEOUT_SECONDS) == Ready(device="cpu")
    trainer.terminate()
    assert trainer.wait() == -signal.SIGTERM
