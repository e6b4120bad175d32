"""Only what no row refers to, and no row may come to refer to, is an orphan."""

import pytest

from kdstore.db import SessionFactory, reading
from kdstore.references import is_content, orphans_among
from tests.kdstore.holdings import Holdings


def _orphans(session_factory: SessionFactory, *keys: str) -> list[str]:
    with reading(session_factory) as session:
        return orphans_among(session, keys)


def test_what_uploads_models_and_datasets_refer_to_is_kept(
    holdings: Holdings, session_factory: SessionFactory
) -> None:
    upload_id, blob = holdings.stored_upload()
    _, weights = holdings.model(upload_id)
    _, of_dataset = holdings.dataset()
    _, part = holdings.pending_upload()
    assert _orphans(session_factory, blob, weights, part, *of_dataset) == []


def test_content_that_no_row_names_is_an_orphan(
    holdings: Holdings, session_factory: SessionFactory
) -> None:
    holdings.dataset()
    strange = [f"{folder}/{'e' * 64}" for folder in ("blobs", "datasets")]
    strange.append(f"models/{'e' * 64}.safetensors")
    assert _orphans(session_factory, *strange) == strange


def test_part_of_a_closed_upload_is_an_orphan(
    holdings: Holdings, session_factory: SessionFactory
) -> None:
    upload_id, part = holdings.pending_upload()
    stored_id, _ = holdings.stored_upload()
    late = [f"uploads/{stored_id}/00001-signed", "uploads/upl_of_nobody/00001-x"]
    assert _orphans(session_factory, part, *late) == late
    holdings.abandon(upload_id)
    assert _orphans(session_factory, part) == [part]


def test_objects_of_an_attempt_at_work_are_kept_though_no_row_names_them(
    holdings: Holdings, session_factory: SessionFactory
) -> None:
    fence = holdings.running_job()
    stored = [holdings.put_checkpoint(fence, total_steps=5), holdings.put_artifact(fence, "a")]
    assert _orphans(session_factory, *stored) == []
    holdings.fail(fence)
    assert _orphans(session_factory, *stored) == stored


def test_recorded_checkpoints_and_artifacts_outlive_their_attempt(
    holdings: Holdings, session_factory: SessionFactory
) -> None:
    failed, succeeded = holdings.running_job(), holdings.running_job()
    checkpoint = holdings.checkpoint(failed)
    holdings.fail(failed)
    artifacts = holdings.succeed(succeeded)
    left_behind = holdings.put_artifact(succeeded, "of_no_row")
    assert _orphans(session_factory, checkpoint, *artifacts, left_behind) == [left_behind]


def test_objects_of_an_earlier_attempt_are_orphans_while_the_next_one_works(
    holdings: Holdings, session_factory: SessionFactory
) -> None:
    fence = holdings.running_job()
    earlier = f"jobs/{fence.job_id}/checkpoints/0000-000000000007"
    assert _orphans(session_factory, earlier) == [earlier]


@pytest.mark.parametrize(
    "key",
    [
        "readiness",
        "blobs/notes.txt",
        "jobs/job_1/notes.txt",
        "jobs/job_1/checkpoints/latest",
        "datasets",
        "uploads/upl_1",
        "backup/blobs/" + "e" * 64,
    ],
)
def test_objects_that_are_not_ours_are_no_orphans(
    key: str, session_factory: SessionFactory
) -> None:
    assert _orphans(session_factory, key) == []


def test_nothing_is_an_orphan_of_nothing(session_factory: SessionFactory) -> None:
    assert _orphans(session_factory) == []


def test_only_content_may_be_referred_to_by_several_rows() -> None:
    assert is_content(f"blobs/{'e' * 64}")
    assert is_content(f"models/{'e' * 64}.safetensors-1")
    assert not is_content("uploads/upl_1/00001-x")
