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
        lambda session, fence: datasets.mark_ready(
            session, fence, datasets.ReadyDataset(description={}, files=(), sha256="0" * 64)
        ),
        datasets.read_validating,
    ],
    ids=["heartbeat", "reject", "release", "mark_ready", "read_validating"],
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


def test_file_whose_reader_dies_three_times_is_rejected(
    session_factory: SessionFactory, claim: Claim, sweep: Sweep, dataset_id: str
) -> None:
    for _ in range(2):
        assert claim(lease_seconds=-1) is not None
        assert sweep().datasets == (dataset_id,)
    assert claim(lease_seconds=-1) is not None
    assert sweep().datasets == ()
    dataset = _read(session_factory, dataset_id)
    assert dataset.status == "rejected"
    assert dataset.problem is not None
    assert dataset.problem["code"] == "validation_failed"


def test_lost_message_is_sent_again(
    session_factory: SessionFactory, sweep: Sweep, dataset_id: str
) -> None:
    assert sweep(republish_seconds=60).datasets == ()
    with transaction(session_factory) as session:
        past = now(session) - timedelta(seconds=61)
        session.execute(update(Dataset).values(published_at=past))
    assert sweep(republish_seconds=60).datasets == (dataset_id,)
    assert sweep(republish_seconds=60).datasets == ()
