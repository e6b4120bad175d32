"""A key is condemned only while nothing refers to it, and never referred to again."""

import threading
from collections.abc import Callable

import pytest
from sqlalchemy import delete

from kdstore import condemned
from kdstore.db import SessionFactory, transaction
from kdstore.errors import ObjectCondemned
from kdstore.tables import Upload
from kdstore.upload_bytes import blob_key
from tests.kdstore.holdings import Holdings

KEY = blob_key("e" * 64)


@pytest.fixture
def condemn(session_factory: SessionFactory) -> Callable[..., list[str]]:
    """Call it to condemn those of some keys that are orphans."""

    def condemn(*keys: str) -> list[str]:
        with transaction(session_factory) as session:
            return condemned.condemn_orphans(session, keys)

    return condemn


@pytest.fixture
def due(session_factory: SessionFactory) -> Callable[..., list[str]]:
    """Call it to read what is to be deleted now."""

    def due(*, grace_seconds: float = 0.0, limit: int = 10) -> list[str]:
        with transaction(session_factory) as session:
            return condemned.due(session, grace_seconds=grace_seconds, limit=limit)

    return due


Condemn = Callable[..., list[str]]
Due = Callable[..., list[str]]


def _storable(session_factory: SessionFactory, key: str = KEY) -> str:
    with transaction(session_factory) as session:
        return condemned.storable_key(session, key)


def _mark_deleted(session_factory: SessionFactory, *keys: str) -> None:
    with transaction(session_factory) as session:
        condemned.deleted(session, keys)


def test_orphan_is_condemned_once(condemn: Condemn) -> None:
    assert condemn(KEY) == [KEY]
    assert condemn(KEY) == []


def test_object_that_a_row_refers_to_is_not_condemned(condemn: Condemn, holdings: Holdings) -> None:
    _, blob = holdings.stored_upload()
    assert condemn(blob, KEY) == [KEY]


def test_condemned_key_cannot_be_referred_to(
    condemn: Condemn, session_factory: SessionFactory
) -> None:
    condemn(KEY)
    with pytest.raises(ObjectCondemned) as raised, transaction(session_factory) as session:
        condemned.require_live(session, ["blobs/other", KEY])
    assert raised.value.key == KEY


def test_content_that_comes_back_is_stored_under_the_next_key(
    condemn: Condemn, session_factory: SessionFactory
) -> None:
    assert _storable(session_factory) == KEY
    condemn(KEY)
    assert _storable(session_factory) == f"{KEY}-1"
    condemn(f"{KEY}-1")
    _mark_deleted(session_factory, KEY)
    assert _storable(session_factory) == f"{KEY}-2"
    assert _storable(session_factory, blob_key("f" * 64)) == blob_key("f" * 64)


def test_condemned_objects_wait_for_the_grace_and_go_once(
    condemn: Condemn, due: Due, session_factory: SessionFactory
) -> None:
    condemn(KEY)
    assert due(grace_seconds=3600) == []
    assert due() == [KEY]
    _mark_deleted(session_factory, KEY)
    assert due() == []


def test_deletions_are_bounded(condemn: Condemn, due: Due) -> None:
    keys = [blob_key(digit * 64) for digit in "0123"]
    condemn(*keys)
    assert len(due(limit=3)) == 3


def test_object_that_comes_back_after_its_deletion_is_condemned_again(
    condemn: Condemn, due: Due, session_factory: SessionFactory
) -> None:
    condemn(KEY)
    _mark_deleted(session_factory, KEY)
    assert condemn(KEY) == [KEY]
    assert due() == [KEY]


def test_key_of_a_closed_upload_is_forgotten_with_its_object(
    condemn: Condemn, due: Due, session_factory: SessionFactory
) -> None:
    part = "uploads/upl_closed/00001-x"
    condemn(part)
    assert due() == [part]
    _mark_deleted(session_factory, part)
    assert condemn(part) == [part]


def test_condemned_object_that_an_older_release_refers_to_is_released(
    condemn: Condemn, due: Due, holdings: Holdings, session_factory: SessionFactory
) -> None:
    upload_id, blob = holdings.stored_upload()
    with transaction(session_factory) as session:
        session.execute(delete(Upload).where(Upload.id == upload_id))
    assert condemn(blob) == [blob]
    other_id, _ = holdings.pending_upload()
    with transaction(session_factory) as session:
        session.get_one(Upload, other_id).object_key = blob
    assert due() == []
    assert _storable(session_factory, blob) == blob


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_who_condemns_waits_for_who_refers(
    holdings: Holdings, session_factory: SessionFactory, condemn: Condemn
) -> None:
    """On SQLite every writing transaction waits for the one before."""
    found: list[list[str]] = []
    upload_id, _ = holdings.pending_upload()
    condemning = threading.Thread(target=lambda: found.append(condemn(KEY)))
    with transaction(session_factory) as session:
        condemned.require_live(session, [KEY])
        condemning.start()
        condemning.join(0.3)
        assert condemning.is_alive()
        session.get_one(Upload, upload_id).object_key = KEY
    condemning.join()
    assert found == [[]]
