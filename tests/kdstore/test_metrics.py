"""Curves have no gap and no duplicate, whatever was killed, and down-sampling keeps extremes."""

from collections.abc import Callable, Sequence

import pytest

from kdcore.progress import MetricPoint as NewPoint
from kdcore.progress import Resumed
from kdcore.report import Run
from kdcore.spec import DistillJob, parse_job
from kdstore import jobs, metrics
from kdstore.db import SessionFactory, reading, transaction

ClaimJob = Callable[..., jobs.Claim]
QueueJob = Callable[..., str]
Append = Callable[[jobs.Fence, Run, str, Sequence[tuple[int, float]]], None]
Read = Callable[..., list[metrics.Series]]


def _resumption(run: Run, step: int) -> Resumed:
    return Resumed(run=run, training_stage="training", step=step, total_steps=step)


@pytest.fixture
def append(session_factory: SessionFactory) -> Append:
    def append(fence: jobs.Fence, run: Run, name: str, points: Sequence[tuple[int, float]]) -> None:
        new = [NewPoint(name=name, step=step, value=value) for step, value in points]
        with transaction(session_factory) as session:
            metrics.append(session, fence, run=run, points=new)

    return append


@pytest.fixture
def read(session_factory: SessionFactory, workspace_id: str) -> Read:
    def read(job_id: str, **filters: object) -> list[metrics.Series]:
        with reading(session_factory) as session:
            return metrics.read(session, workspace_id=workspace_id, job_id=job_id, **filters)  # type: ignore[arg-type]  # filters are passed on as given

    return read


@pytest.fixture
def fence(queue_job: QueueJob, claim_job: ClaimJob) -> jobs.Fence:
    return claim_job(queue_job()).fence


class TestAppend:
    def test_point_written_again_is_replaced(
        self, fence: jobs.Fence, append: Append, read: Read
    ) -> None:
        append(fence, "student", "loss", [(1, 5.0), (2, 4.0)])
        append(fence, "student", "loss", [(2, 3.0), (3, 2.0)])
        (series,) = read(fence.job_id)
        assert series == metrics.Series("loss", "student", (1, 2, 3), (5.0, 3.0, 2.0))

    def test_point_twice_in_one_call_counts_once_with_its_last_value(
        self, fence: jobs.Fence, append: Append, read: Read
    ) -> None:
        append(fence, "student", "loss", [(1, 5.0), (1, 4.0)])
        assert read(fence.job_id)[0].values == (4.0,)

    def test_nothing_to_append_is_fine(self, fence: jobs.Fence, append: Append, read: Read) -> None:
        append(fence, "student", "loss", [])
        assert read(fence.job_id) == []

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_value_that_is_not_finite_is_refused(
        self, value: float, fence: jobs.Fence, append: Append
    ) -> None:
        with pytest.raises(ValueError, match="student/loss at step 3"):
            append(fence, "student", "loss", [(3, value)])

    def test_values_come_back_bit_for_bit(
        self, fence: jobs.Fence, append: Append, read: Read
    ) -> None:
        values = (0.1 + 0.2, 1e-310, -1.0, 1.7976931348623157e308)
        append(fence, "student", "loss", list(enumerate(values)))
        assert [value.hex() for value in read(fence.job_id)[0].values] == [
            value.hex() for value in values
        ]


def distillation(**changes: object) -> DistillJob:
    document: dict[str, object] = {
        "kind": "distill",
        "dataset": "digits",
        "teachers": [{"model": "mdl_1"}],
        "student": {"architecture": "mlp", "hidden": [8]},
    }
    job = parse_job(document | changes)
    assert isinstance(job, DistillJob)
    return job


class TestResume:
    @pytest.fixture
    def written(self, queue_job: QueueJob, claim_job: ClaimJob, append: Append) -> jobs.Fence:
        fence = claim_job(queue_job(spec=distillation())).fence
        append(fence, "teacher", "accuracy", [(0, 0.9)])
        append(fence, "student", "loss", [(1, 3.0), (2, 2.0), (3, 1.0)])
        append(fence, "control", "loss", [(1, 3.5)])
        return fence

    def test_points_after_the_resumed_step_and_of_later_runs_are_forgotten(
        self, session_factory: SessionFactory, written: jobs.Fence, read: Read
    ) -> None:
        with transaction(session_factory) as session:
            jobs.resumed(session, written, _resumption("student", 2))
        assert [(series.run, series.steps) for series in read(written.job_id)] == [
            ("student", (1, 2)),
            ("teacher", (0,)),
        ]

    def test_resuming_a_later_run_keeps_the_runs_before(
        self, session_factory: SessionFactory, written: jobs.Fence, read: Read
    ) -> None:
        with transaction(session_factory) as session:
            jobs.resumed(session, written, _resumption("control", 0))
        assert [(series.run, series.steps) for series in read(written.job_id)] == [
            ("student", (1, 2, 3)),
            ("teacher", (0,)),
        ]

    def test_later_runs_are_those_that_train_later(
        self,
        session_factory: SessionFactory,
        queue_job: QueueJob,
        claim_job: ClaimJob,
        append: Append,
        read: Read,
    ) -> None:
        """Under self-distillation the control trains first."""
        method = {"name": "self_distillation", "generations": 2}
        fence = claim_job(queue_job(spec=distillation(teachers=[], method=method))).fence
        for run in ("control", "generation_1", "student"):
            append(fence, run, "loss", [(1, 3.0), (2, 2.0)])
        with transaction(session_factory) as session:
            jobs.resumed(session, fence, _resumption("generation_1", 1))
        assert [(series.run, series.steps) for series in read(fence.job_id)] == [
            ("control", (1, 2)),
            ("generation_1", (1,)),
        ]

    def test_starting_anew_forgets_everything(
        self, session_factory: SessionFactory, written: jobs.Fence, read: Read
    ) -> None:
        with transaction(session_factory) as session:
            jobs.resumed(session, written, None)
        assert read(written.job_id) == []

    def test_killed_and_resumed_curve_equals_an_undisturbed_one(
        self,
        session_factory: SessionFactory,
        queue_job: QueueJob,
        claim_job: ClaimJob,
        append: Append,
        read: Read,
    ) -> None:
        curve = [(step, 1.0 / (step + 1)) for step in range(50)]
        undisturbed = claim_job(queue_job()).fence
        append(undisturbed, "student", "loss", curve)
        job_id = queue_job(spec=distillation(limits={"max_attempts": 10}))
        for checkpoint, died_at in [(0, 13), (10, 31), (30, 49)]:
            fence = claim_job(job_id, lease_seconds=-1).fence
            with transaction(session_factory) as session:
                resumption = _resumption("student", checkpoint) if checkpoint else None
                jobs.resumed(session, fence, resumption)
            append(fence, "student", "loss", curve[checkpoint : died_at + 1])
            with transaction(session_factory) as session:
                jobs.sweep(session, republish_seconds=60)
        last = claim_job(job_id).fence
        with transaction(session_factory) as session:
            jobs.resumed(session, last, _resumption("student", 40))
        append(last, "student", "loss", curve[40:])
        assert read(job_id) == read(undisturbed.job_id)


class TestRead:
    def test_short_series_is_read_whole(
        self, fence: jobs.Fence, append: Append, read: Read
    ) -> None:
        append(fence, "student", "loss", [(step, float(step % 7)) for step in range(100)])
        (series,) = read(fence.job_id, max_points=100)
        assert series.steps == tuple(range(100))

    def test_down_sampling_keeps_ends_and_extremes_within_the_limit(
        self, fence: jobs.Fence, append: Append, read: Read
    ) -> None:
        values = [(step * 7919) % 1009 / 1009 for step in range(5000)]
        values[1234], values[4321] = 99.0, -99.0
        append(fence, "student", "loss", list(enumerate(values)))
        (series,) = read(fence.job_id, max_points=50)
        assert 40 <= len(series.steps) <= 50
        assert series.steps[0] == 0
        assert series.steps[-1] == 4999
        assert list(series.steps) == sorted(set(series.steps))
        assert (
            dict(zip(series.steps, series.values, strict=True)).items()
            >= {
                1234: 99.0,
                4321: -99.0,
            }.items()
        )
        assert all(
            values[step] == value for step, value in zip(series.steps, series.values, strict=True)
        )

    def test_each_bucket_gives_its_smallest_and_largest_value(
        self, fence: jobs.Fence, append: Append, read: Read
    ) -> None:
        # 22 steps and 6 points: first, last, and two buckets of the steps between.
        values = [0, 5, 1, 9, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 8, 3, -4, 3, 0]
        append(fence, "student", "loss", [(i, float(v)) for i, v in enumerate(values)])
        (series,) = read(fence.job_id, max_points=6)
        assert series.steps == (0, 2, 3, 17, 19, 21)
        assert series.values == (0.0, 1.0, 9.0, 8.0, -4.0, 0.0)

    def test_constant_series_shrinks_too(
        self, fence: jobs.Fence, append: Append, read: Read
    ) -> None:
        append(fence, "student", "rate", [(step, 0.1) for step in range(1000)])
        (series,) = read(fence.job_id, max_points=20)
        assert len(series.steps) <= 20
        assert set(series.values) == {0.1}

    def test_steps_in_the_millions_do_not_overflow(
        self, fence: jobs.Fence, append: Append, read: Read
    ) -> None:
        points = [(step * 2_000_000, float(step)) for step in range(1000)]
        append(fence, "student", "loss", points)
        (series,) = read(fence.job_id, max_points=500)
        assert series.steps[-1] == 999 * 2_000_000

    def test_filters_by_name_run_and_step(
        self, fence: jobs.Fence, append: Append, read: Read
    ) -> None:
        append(fence, "student", "loss", [(1, 1.0), (2, 2.0)])
        append(fence, "control", "loss", [(1, 1.5), (2, 2.5)])
        append(fence, "student", "accuracy", [(2, 0.5)])
        found = read(fence.job_id, name="loss", run="student", since_step=2)
        assert found == [metrics.Series("loss", "student", (2,), (2.0,))]
        assert [(series.run, series.name) for series in read(fence.job_id)] == [
            ("control", "loss"),
            ("student", "accuracy"),
            ("student", "loss"),
        ]

    def test_other_workspaces_read_nothing(
        self,
        fence: jobs.Fence,
        append: Append,
        session_factory: SessionFactory,
        other_workspace_id: str,
    ) -> None:
        append(fence, "student", "loss", [(1, 1.0)])
        with reading(session_factory) as session:
            found = metrics.read(session, workspace_id=other_workspace_id, job_id=fence.job_id)
        assert found == []

    def test_too_few_points_to_keep_extremes_are_refused(
        self, fence: jobs.Fence, read: Read
    ) -> None:
        with pytest.raises(ValueError, match="at least 4"):
            read(fence.job_id, max_points=3)
