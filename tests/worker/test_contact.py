"""Nobody is held for lost before he could have said, after an outage, that he lives."""

from kdstore.settings import Settings
from worker.contact import DatabaseContact


def _contact(*, heartbeat_seconds: float) -> DatabaseContact:
    return DatabaseContact(
        Settings(heartbeat_seconds=heartbeat_seconds, lease_seconds=2 * heartbeat_seconds)
    )


def test_worker_that_has_just_begun_is_not_settled() -> None:
    contact = _contact(heartbeat_seconds=1000.0)
    assert not contact.is_settled
    contact.made()
    contact.made()
    assert not contact.is_settled


def test_contact_of_two_heartbeats_is_settled_until_it_is_lost() -> None:
    contact = _contact(heartbeat_seconds=1e-9)
    contact.made()
    contact.made()
    assert contact.is_settled


def test_contact_that_was_lost_must_settle_again() -> None:
    contact = _contact(heartbeat_seconds=1e-9)
    contact.made()
    contact.made()
    contact.lost()
    contact.made()
    assert not contact.is_settled
