"""Lists are newest first, complete, and stable while rows are added."""

import base64
from collections.abc import Callable

import pytest

from kdstore import jobs
from kdstore.db import SessionFactory, reading
from kdstore.errors import CursorInvalid
from kdstore.pages import Page
from kdstore.tables import Job

QueueJob = Callable[..., str]
ReadPage = Callable[..., Page[Job]]


@pytest.fixture
def page(session_factory: SessionFactory, workspace_id: str) -> ReadPage:
    def page(*, limit: int = 50, cursor: str | None = None) -> Page[Job]:
        with reading(session_factory) as session:
            return jobs.page(session, workspace_id=workspace_id, limit=limit, cursor=cursor)

    return page


def test_pages_together_give_every_row_once_newest_first(
    queue_job: QueueJob, page: ReadPage
) -> None:
    created = [queue_job() for _ in range(5)]
    found: list[str] = []
    cursor = None
    for _ in range(3):
        part = page(limit=2, cursor=cursor)
        found += [job.id for job in part.items]
        cursor = part.next_cursor
    assert found == created[::-1]
    assert cursor is None


def test_rows_added_meanwhile_change_no_later_page(queue_job: QueueJob, page: ReadPage) -> None:
    created = [queue_job() for _ in range(3)]
    first = page(limit=2)
    queue_job()
    second = page(limit=2, cursor=first.next_cursor)
    assert [job.id for job in second.items] == [created[0]]


def test_last_full_page_has_no_cursor(queue_job: QueueJob, page: ReadPage) -> None:
    queue_job()
    queue_job()
    assert page(limit=2).next_cursor is None


def test_empty_list_is_one_empty_page(page: ReadPage) -> None:
    assert page() == Page(items=[], next_cursor=None)


@pytest.mark.parametrize(
    "cursor",
    [
        "nonsense!",
        "ä",
        "",
        base64.urlsafe_b64encode(b"2026-01-01|job_1").decode(),
        base64.urlsafe_b64encode(b"2026-01-01T00:00:00+00:00|").decode(),
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
        base64.urlsafe_b64encode(b"yesterday|job_1").decode(),
    ],
)
def test_cursor_that_we_did_not_make_is_refused(cursor: str, page: ReadPage) -> None:
    with pytest.raises(CursorInvalid):
        page(cursor=cursor)
