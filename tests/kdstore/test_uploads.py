"""Uploads arrive in parts in any order, and end stored, abandoned or expired."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import update

from kdstore import uploads
from kdstore.db import SessionFactory, now, reading, transaction
from kdstore.errors import (
    KdstoreError,
    PartNumberInvalid,
    UploadClosed,
    UploadIncomplete,
    UploadNotFound,
    UploadNotStored,
    UploadTooLarge,
)
from kdstore.tables import Upload
from kdstore.upload_bytes import Assembly, StoredBlob, StoredPart

Act = Callable[..., object]
BLOB = StoredBlob(object_key="blobs/f", sha256="f" * 64, size_bytes=25)


@pytest.fixture
def upload_id(session_factory: SessionFactory, workspace_id: str) -> str:
    """An upload of 25 bytes in parts of 10: three parts, the last of 5 bytes."""
    with transaction(session_factory) as session:
        return uploads.create(
            session,
            workspace_id=workspace_id,
            purpose="checkpoint",
            filename="teacher.pth",
            size_bytes=25,
            sha256=None,
            part_size_bytes=10,
            max_bytes=100,
            expiry_seconds=3600,
        ).id


@pytest.fixture
def register(
    session_factory: SessionFactory, workspace_id: str, upload_id: str
) -> Callable[..., str | None]:
    def register(number: int, *, key: str = "") -> str | None:
        part = StoredPart(
            number=number,
            size_bytes=10 if number < 3 else 5,
            sha256="0" * 64,
            object_key=key or f"part-{number}",
        )
        with transaction(session_factory) as session:
            return uploads.register_part(
                session, workspace_id=workspace_id, upload_id=upload_id, part=part
            )

    return register


@pytest.fixture
def act(session_factory: SessionFactory, workspace_id: str, upload_id: str) -> Act:
    """Call it with a function of `uploads` that takes this upload."""

    def act(function: Act, **arguments: object) -> object:
        with transaction(session_factory) as session:
            return function(session, workspace_id=workspace_id, upload_id=upload_id, **arguments)

    return act


@pytest.fixture
def store(session_factory: SessionFactory, register: Act, act: Act) -> Callable[[], None]:
    """Call it to send all parts and complete the upload."""

    def store() -> None:
        for number in (1, 2, 3):
            register(number)
        assembly = act(uploads.plan_assembly)
        assert isinstance(assembly, Assembly)
        with transaction(session_factory) as session:
            uploads.mark_stored(session, assembly, BLOB)

    return store


def _expire(session_factory: SessionFactory, upload_id: str) -> None:
    with transaction(session_factory) as session:
        past = now(session) - timedelta(seconds=1)
        session.execute(update(Upload).where(Upload.id == upload_id).values(expires_at=past))


class TestCreate:
    def test_parts_and_their_sizes_follow_from_the_size(self, act: Act) -> None:
        upload = act(uploads.get)
        assert isinstance(upload, Upload)
        assert (upload.status, upload.num_parts) == ("pending", 3)
        assert [upload.part_bytes(number) for number in (1, 2, 3)] == [10, 10, 5]

    def test_upload_beyond_the_limit_is_refused(
        self, session_factory: SessionFactory, workspace_id: str
    ) -> None:
        def create() -> None:
            with transaction(session_factory) as session:
                uploads.create(
                    session,
                    workspace_id=workspace_id,
                    purpose="dataset",
                    filename="d.zip",
                    size_bytes=101,
                    sha256=None,
                    part_size_bytes=10,
                    max_bytes=100,
                    expiry_seconds=60,
                )

        with pytest.raises(UploadTooLarge) as raised:
            create()
        assert (raised.value.size_bytes, raised.value.max_bytes) == (101, 100)


class TestParts:
    def test_parts_come_in_any_order(self, register: Act, act: Act) -> None:
        for number in (3, 1, 2):
            assert register(number) is None
        parts = act(uploads.parts_of)
        assert isinstance(parts, list)
        assert [part.number for part in parts] == [1, 2, 3]

    def test_part_sent_again_replaces_the_one_before(self, register: Act, act: Act) -> None:
        register(1, key="first")
        assert register(1, key="second") == "first"
        parts = act(uploads.parts_of)
        assert isinstance(parts, list)
        assert [part.object_key for part in parts] == ["second"]

    def test_open_upload_says_how_many_bytes_a_part_has(self, act: Act) -> None:
        upload = act(uploads.open_for_part, number=3)
        assert isinstance(upload, Upload)
        assert upload.part_bytes(3) == 5

    @pytest.mark.parametrize("number", [0, 4])
    def test_part_that_the_upload_does_not_have_is_refused(
        self, number: int, register: Act, act: Act
    ) -> None:
        with pytest.raises(PartNumberInvalid, match="1 to 3"):
            register(number)
        with pytest.raises(PartNumberInvalid):
            act(uploads.open_for_part, number=number)

    def test_expired_upload_takes_no_part_even_before_it_is_swept(
        self, session_factory: SessionFactory, upload_id: str, register: Act
    ) -> None:
        _expire(session_factory, upload_id)
        with pytest.raises(UploadClosed, match="expired"):
            register(1)


class TestComplete:
    def test_missing_parts_are_named(self, register: Act, act: Act) -> None:
        register(2)
        with pytest.raises(UploadIncomplete) as raised:
            act(uploads.plan_assembly)
        assert raised.value.missing == (1, 3)
        assert "1, 3" in raised.value.message

    def test_stored_upload_has_its_digest_and_object(
        self, store: Callable[[], None], act: Act
    ) -> None:
        store()
        upload = act(uploads.get)
        assert isinstance(upload, Upload)
        assert (upload.status, upload.sha256, upload.object_key) == ("stored", "f" * 64, "blobs/f")
        assert upload.stored_at is not None

    def test_completing_again_finds_it_stored(
        self, store: Callable[[], None], register: Act, act: Act, session_factory: SessionFactory
    ) -> None:
        for number in (1, 2, 3):
            register(number)
        early = act(uploads.plan_assembly)
        assert isinstance(early, Assembly)
        store()
        assert act(uploads.plan_assembly) is None
        with transaction(session_factory) as session:
            assert uploads.mark_stored(session, early, BLOB).status == "stored"

    def test_upload_abandoned_while_it_was_assembled_is_not_stored(
        self, register: Act, act: Act, session_factory: SessionFactory
    ) -> None:
        for number in (1, 2, 3):
            register(number)
        assembly = act(uploads.plan_assembly)
        assert isinstance(assembly, Assembly)
        act(uploads.abandon)

        def mark() -> None:
            with transaction(session_factory) as session:
                uploads.mark_stored(session, assembly, BLOB)

        with pytest.raises(UploadClosed, match="abandoned"):
            mark()


class TestEnd:
    def test_abandoned_upload_takes_no_part_and_cannot_be_completed(
        self, register: Act, act: Act
    ) -> None:
        act(uploads.abandon)
        act(uploads.abandon)
        with pytest.raises(UploadClosed):
            register(1)
        with pytest.raises(UploadClosed):
            act(uploads.plan_assembly)

    def test_stored_upload_is_not_abandoned(self, store: Callable[[], None], act: Act) -> None:
        store()
        with pytest.raises(UploadClosed, match="stored"):
            act(uploads.abandon)

    def test_only_pending_uploads_past_their_time_expire(
        self,
        session_factory: SessionFactory,
        upload_id: str,
        act: Act,
        store: Callable[[], None],
    ) -> None:
        with transaction(session_factory) as session:
            assert uploads.sweep_expired(session) == ()
        _expire(session_factory, upload_id)
        with transaction(session_factory) as session:
            assert uploads.sweep_expired(session) == (upload_id,)
            assert uploads.sweep_expired(session) == ()
        upload = act(uploads.get)
        assert isinstance(upload, Upload)
        assert upload.status == "expired"

    def test_stored_upload_does_not_expire(
        self, session_factory: SessionFactory, upload_id: str, store: Callable[[], None]
    ) -> None:
        store()
        _expire(session_factory, upload_id)
        with transaction(session_factory) as session:
            assert uploads.sweep_expired(session) == ()


class TestUse:
    def test_only_a_stored_upload_of_the_right_purpose_is_a_source(
        self, store: Callable[[], None], act: Act
    ) -> None:
        with pytest.raises(UploadNotStored, match="pending"):
            act(uploads.require_stored, purpose="checkpoint")
        store()
        with pytest.raises(UploadNotStored, match="purpose dataset"):
            act(uploads.require_stored, purpose="dataset")
        upload = act(uploads.require_stored, purpose="checkpoint")
        assert isinstance(upload, Upload)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (uploads.get, {}),
        (uploads.open_for_part, {"number": 1}),
        (uploads.register_part, {"part": StoredPart(1, 10, "0" * 64, "k")}),
        (uploads.plan_assembly, {}),
        (uploads.abandon, {}),
        (uploads.require_stored, {"purpose": "checkpoint"}),
    ],
)
def test_upload_of_another_workspace_is_not_found(
    function: Act,
    arguments: dict[str, object],
    session_factory: SessionFactory,
    upload_id: str,
    other_workspace_id: str,
) -> None:
    def act_as_stranger() -> None:
        with transaction(session_factory) as session:
            function(session, workspace_id=other_workspace_id, upload_id=upload_id, **arguments)

    with pytest.raises(UploadNotFound) as raised:
        act_as_stranger()
    assert isinstance(raised.value, KdstoreError)
    with reading(session_factory) as session:
        parts = uploads.parts_of(session, workspace_id=other_workspace_id, upload_id=upload_id)
    assert parts == []
