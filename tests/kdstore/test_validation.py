"""Models and datasets are validated by one worker at a time, and decided once."""

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import update

from kdstore import datasets, validation
from kdstore.db import SessionFactory, now, reading, transaction
from kdstore.errors import ValidationLost
from kdstore.tables import Dataset
from kdstore.validation import Rejection, ValidationFence

Claim = Callable[..., ValidationFence | None]


@pytest.fixture
def dataset_id(session_factory: SessionFactory) -> str:
    with transaction(session_factory) as session:
        return datasets.ensure_builtin(session, "digits").id


@pytest.fixture
def claim(session_factory: SessionFactory, dataset_id: str) -> Claim:
    def claim(*, lease_seconds: float = 60) -> ValidationFence | None:
        with transaction(session_factory) as session:
            return validation.claim(session, "dataset", dataset_id, lease_seconds=lease_seconds)

    return claim


@pytest.fixture
def sweep(session_factory: SessionFactory) -> Callable[..., validation.SweptValidations]:
    def sweep(*, republish_seconds: float = 3600) -> validation.SweptValidations:
        with transaction(session_factory) as session:
            return validation.sweep(session, republish_seconds=republish_seconds)

    return sweep


Sweep = Callable[..., validation.SweptValidations]


def _read(session_factory: SessionFactory, dataset_id: str) -> Dataset:
    with reading(session_factory) as session:
        return session.get_one(Dataset, dataset_id)


def test_of_many_claims_at_once_exactly_one_succeeds(claim: Claim) -> None:
    found: list[ValidationFence | None] = []
    barrier = threading.Barrier(5)

    def take() -> None:
        barrier.wait()
        found.append(claim())

    threads = [threading.Thread(target=take) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 5
    assert [fence for fence in found if fence is not None] == [
        ValidationFence("dataset", "digits", 1)
    ]


def test_unknown_id_is_not_claimed(session_factory: SessionFactory) -> None:
    with transaction(session_factory) as session:
        assert validation.claim(session, "model", "mdl_none", lease_seconds=60) is None


def test_rejection_says_why(session_factory: SessionFactory, claim: Claim, dataset_id: str) -> None:
    fence = claim()
    assert fence is not None
    with transaction(session_factory) as session:
        validation.reject(
            session, fence, Rejection(code="one_class", message="Add a class.", details=["a"])
        )
    dataset = _read(session_factory, dataset_id)
    assert dataset.status == "rejected"
    assert dataset.problem == {"code": "one_class", "message": "Add a class.", "details": ["a"]}
    assert dataset.decided_at is not None
    assert claim() is None


@pytest.mark.parametrize(
    "write",
    [
        lambda session, fence: validation.heartbeat(session, fence, lease_seconds=60),
        lambda session, fence: validation.reject(
            session, fence, Rejection(code="late", message="Too late.")
        ),
        validation.release,
        lambda session, fence: validation.postpone(session, fence, cause="disk_full"),
        validation.begin_reading,
        validation.end_reading,
        lambda session, fence: datasets.mark_ready(
            session, fence, datasets.ReadyDataset(description={}, files=(), sha256="0" * 64)
        ),
        datasets.read_validating,
    ],
    ids=[
        "heartbeat",
        "reject",
        "release",
        "postpone",
        "begin_reading",
        "end_reading",
        "mark_ready",
        "read_validating",
    ],
)
def test_validation_that_lost_its_lease_writes_nothing(
    write: Callable[..., object],
    session_factory: SessionFactory,
    claim: Claim,
    sweep: Sweep,
    dataset_id: str,
) -> None:
    zombie = claim(lease_seconds=-1)
    assert zombie is not None
    sweep()
    assert claim() == ValidationFence("dataset", dataset_id, 2)

    def write_as_zombie() -> None:
        with transaction(session_factory) as session:
            write(session, zombie)

    with pytest.raises(ValidationLost):
        write_as_zombie()
    assert _read(session_factory, dataset_id).status == "validating"


def test_validation_that_is_handed_back_is_claimed_again_and_not_counted_as_lost(
    session_factory: SessionFactory, claim: Claim, dataset_id: str
) -> None:
    for number in range(1, 6):
        fence = claim()
        assert fence is not None
        assert fence.number == number
        with transaction(session_factory) as session:
            validation.release(session, fence)
    assert _read(session_factory, dataset_id).validations_lost == 0


def test_heartbeat_keeps_the_lease(
    session_factory: SessionFactory, claim: Claim, sweep: Sweep
) -> None:
    fence = claim(lease_seconds=-1)
    assert fence is not None
    with transaction(session_factory) as session:
        validation.heartbeat(session, fence, lease_seconds=60)
    assert sweep().datasets == ()


def test_file_whose_reader_takes_its_worker_along_three_times_is_rejected(
    session_factory: SessionFactory, claim: Claim, sweep: Sweep, dataset_id: str
) -> None:
    for number in range(1, 4):
        fence = claim(lease_seconds=-1)
        assert fence is not None
        with transaction(session_factory) as session:
            validation.begin_reading(session, fence)
        assert sweep().datasets == ((dataset_id,) if number < 3 else ())
    dataset = _read(session_factory, dataset_id)
    assert dataset.status == "rejected"
    assert dataset.problem is not None
    assert dataset.problem["code"] == "validation_failed"


@pytest.mark.parametrize("has_read", [False, True], ids=["while it fetches", "while it stores"])
def test_worker_that_dies_without_a_reader_at_the_file_is_not_held_against_it(
    session_factory: SessionFactory, claim: Claim, sweep: Sweep, dataset_id: str, has_read: bool
) -> None:
    for _ in range(5):
        fence = claim(lease_seconds=-1)
        assert fence is not None
        if has_read:
            with transaction(session_factory) as session:
                validation.begin_reading(session, fence)
                validation.end_reading(session, fence)
        assert sweep().datasets == (dataset_id,)
    assert _read(session_factory, dataset_id).validations_lost == 0


@pytest.fixture
def postpone(session_factory: SessionFactory, claim: Claim) -> Callable[..., None]:
    """Call it to claim and fail, as soon as the wait for that is over."""

    def postpone(*, suspicion: Rejection | None = None) -> None:
        with transaction(session_factory) as session:
            session.execute(update(Dataset).values(claimable_at=now(session)))
        fence = claim()
        assert fence is not None
        with transaction(session_factory) as session:
            validation.postpone(session, fence, cause="storage_unavailable", suspicion=suspicion)

    return postpone


Postpone = Callable[..., None]


def test_validation_that_the_system_failed_waits_longer_and_longer(
    session_factory: SessionFactory, claim: Claim
) -> None:
    waits: list[float] = []
    for _ in range(8):
        fence = claim()
        assert fence is not None
        with transaction(session_factory) as session:
            at = now(session)
            validation.postpone(session, fence, cause="storage_unavailable")
            claimable_at = session.get_one(Dataset, "digits").claimable_at
        assert claimable_at is not None
        waits.append((claimable_at - at).total_seconds())
        assert claim() is None
        with transaction(session_factory) as session:
            session.execute(update(Dataset).values(claimable_at=at))
    assert waits == pytest.approx([15, 30, 60, 120, 240, 480, 600, 600], abs=5)


def test_validation_that_was_put_off_is_published_when_its_wait_is_over(
    session_factory: SessionFactory, postpone: Postpone, claim: Claim, sweep: Sweep
) -> None:
    postpone()
    with transaction(session_factory) as session:
        past = now(session) - timedelta(seconds=61)
        session.execute(update(Dataset).values(published_at=past))
    assert sweep(republish_seconds=60).datasets == ()
    with transaction(session_factory) as session:
        session.execute(update(Dataset).values(claimable_at=now(session)))
    assert sweep(republish_seconds=60).datasets == ("digits",)
    assert claim() is not None


def test_file_that_the_system_cannot_read_for_a_day_is_rejected_with_the_true_cause(
    session_factory: SessionFactory, postpone: Postpone, dataset_id: str
) -> None:
    for _ in range(10):
        postpone()
    assert _read(session_factory, dataset_id).status == "validating"
    with transaction(session_factory) as session:
        session.execute(update(Dataset).values(validation_number=149))
    postpone()
    dataset = _read(session_factory, dataset_id)
    assert dataset.status == "rejected"
    assert dataset.problem is not None
    assert dataset.problem["code"] == "storage_unavailable"
    assert "no fault of the file" in dataset.problem["message"]


def test_suspicion_that_comes_up_three_times_is_why_a_file_is_rejected(
    session_factory: SessionFactory, postpone: Postpone, dataset_id: str
) -> None:
    suspicion = Rejection(code="input_damaged", message="Upload it again.")
    for _ in range(2):
        postpone(suspicion=suspicion)
        postpone()
    assert _read(session_factory, dataset_id).status == "validating"
    postpone(suspicion=suspicion)
    assert _read(session_factory, dataset_id).problem == {
        "code": "input_damaged",
        "message": "Upload it again.",
        "details": [],
    }


def test_rejected_builtin_that_is_offered_again_waits_for_nothing(
    session_factory: SessionFactory, postpone: Postpone, claim: Claim, dataset_id: str
) -> None:
    postpone()
    with transaction(session_factory) as session:
        session.execute(update(Dataset).values(status="rejected"))
        datasets.ensure_builtin(session, dataset_id)
    assert claim() is not None


def test_lost_message_is_sent_again(
    session_factory: SessionFactory, sweep: Sweep, dataset_id: str
) -> None:
    assert sweep(republish_seconds=60).datasets == ()
    with transaction(session_factory) as session:
        past = now(session) - timedelta(seconds=61)
        session.execute(update(Dataset).values(published_at=past))
    assert sweep(republish_seconds=60).datasets == (dataset_id,)
    assert sweep(republish_seconds=60).datasets == ()
