"""Keys are shown once, kept as a hash, and end for good."""

import hashlib

import pytest

from kdstore import keys
from kdstore.db import SessionFactory, reading, transaction
from kdstore.errors import KeyInvalid, KeyNotFound
from kdstore.tables import ApiKey


@pytest.fixture
def new_key(session_factory: SessionFactory, workspace_id: str) -> keys.NewKey:
    with transaction(session_factory) as session:
        return keys.create(session, workspace_id=workspace_id, name="laptop", role="member")


def test_token_stands_for_its_workspace_and_role(
    session_factory: SessionFactory, workspace_id: str, new_key: keys.NewKey
) -> None:
    with reading(session_factory) as session:
        principal = keys.verify(session, new_key.token)
    assert principal == keys.Principal(workspace_id, new_key.key.id, "member")


def test_token_is_prefixed_and_only_its_hash_is_stored(
    session_factory: SessionFactory, new_key: keys.NewKey
) -> None:
    assert new_key.token.startswith("potstill_")
    with reading(session_factory) as session:
        row = session.get_one(ApiKey, new_key.key.id)
        stored = [str(getattr(row, column)) for column in ApiKey.__table__.columns.keys()]  # noqa: SIM118  # columns are no dict
    secret = new_key.token.rsplit("_", 1)[1]
    assert len(secret) >= 32
    assert not any(secret in value for value in stored)
    assert row.secret_sha256 == hashlib.sha256(new_key.token.encode()).hexdigest()


def test_every_token_is_new(session_factory: SessionFactory, workspace_id: str) -> None:
    with transaction(session_factory) as session:
        tokens = {
            keys.create(session, workspace_id=workspace_id, name="k", role="viewer").token
            for _ in range(10)
        }
    assert len(tokens) == 10


@pytest.mark.parametrize(
    "token",
    ["", "potstill", "potstill_x_y", "x" * 10_000, "potstill_ä_ö", "a_b_c_d", "Bearer potstill"],
)
def test_nonsense_is_invalid(session_factory: SessionFactory, token: str) -> None:
    with reading(session_factory) as session, pytest.raises(KeyInvalid):
        keys.verify(session, token)


def test_right_id_with_a_wrong_secret_is_invalid(
    session_factory: SessionFactory, new_key: keys.NewKey
) -> None:
    with reading(session_factory) as session, pytest.raises(KeyInvalid):
        keys.verify(session, new_key.token[:-1] + ("0" if new_key.token[-1] != "0" else "1"))


def test_wrong_prefix_is_invalid(session_factory: SessionFactory, new_key: keys.NewKey) -> None:
    with reading(session_factory) as session, pytest.raises(KeyInvalid):
        keys.verify(session, "other" + new_key.token.removeprefix("potstill"))


def test_revoked_key_is_invalid_and_still_listed(
    session_factory: SessionFactory, workspace_id: str, new_key: keys.NewKey
) -> None:
    with transaction(session_factory) as session:
        first = keys.revoke(session, workspace_id=workspace_id, key_id=new_key.key.id)
        revoked_at = first.revoked_at
    with transaction(session_factory) as session:
        again = keys.revoke(session, workspace_id=workspace_id, key_id=new_key.key.id)
    assert again.revoked_at == revoked_at is not None
    with reading(session_factory) as session:
        with pytest.raises(KeyInvalid):
            keys.verify(session, new_key.token)
        listed = keys.page(session, workspace_id=workspace_id)
    assert [key.id for key in listed.items] == [new_key.key.id]


def test_keys_of_another_workspace_are_not_found(
    session_factory: SessionFactory, other_workspace_id: str, new_key: keys.NewKey
) -> None:
    with reading(session_factory) as session:
        assert keys.page(session, workspace_id=other_workspace_id).items == []
        with pytest.raises(KeyNotFound):
            keys.get(session, workspace_id=other_workspace_id, key_id=new_key.key.id)

    def revoke() -> None:
        with transaction(session_factory) as session:
            keys.revoke(session, workspace_id=other_workspace_id, key_id=new_key.key.id)

    with pytest.raises(KeyNotFound):
        revoke()
