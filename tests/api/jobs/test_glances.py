"""Looks at a job that all who watch it share."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import Engine

from api.jobs.glances import Glance, Place, SharedGlances, glance
from kdstore import jobs, retention
from kdstore.db import SessionFactory, transaction
from kdstore.errors import JobNotFound
from tests.api.queries import counting_queries

Rows = Any  # a class of conftest.py, which tests cannot import


def test_everybody_at_one_place_shares_one_look(
    rows: Rows, session_factory: SessionFactory
) -> None:
    place = Place(rows.workspace_id, rows.job(), 0)

    async def ask() -> list[Glance]:
        glances = SharedGlances(session_factory, max_age_seconds=60.0)
        together = await asyncio.gather(*(glances.at(place) for _ in range(50)))
        return [*together, await glances.at(place)]

    engine = session_factory.kw["bind"]
    assert isinstance(engine, Engine)
    with counting_queries(engine) as statements:
        found = asyncio.run(ask())
    assert len(statements) == 2  # the job, and its events
    assert {each.events[-1].number for each in found} == {1}


def test_places_are_looked_at_apart(rows: Rows, session_factory: SessionFactory) -> None:
    workspace_id, job_id = rows.workspace_id, rows.job()

    async def ask() -> list[Glance]:
        glances = SharedGlances(session_factory, max_age_seconds=60.0)
        return [await glances.at(Place(workspace_id, job_id, after)) for after in (0, 1)]

    behind, ahead = asyncio.run(ask())
    assert [message.number for message in behind.events] == [1]
    assert ahead.events == ()


def test_job_whose_history_is_forgotten_is_over(
    rows: Rows, session_factory: SessionFactory
) -> None:
    job_id = rows.job()
    with transaction(session_factory) as session:
        jobs.request_cancel(session, workspace_id=rows.workspace_id, job_id=job_id)
    place = Place(rows.workspace_id, job_id, 0)
    with transaction(session_factory) as session:
        assert glance(session, place).is_over
        assert retention.forget_history(session, older_than_seconds=0.0, limit=10) == [job_id]
        found = glance(session, place)
    assert (found.events, found.is_over) == ((), True)


def test_look_that_is_old_is_taken_again(rows: Rows, session_factory: SessionFactory) -> None:
    job_id = rows.job()
    place = Place(rows.workspace_id, job_id, 1)

    async def ask() -> list[Glance]:
        glances = SharedGlances(session_factory, max_age_seconds=0.0)
        first = await glances.at(place)
        with transaction(session_factory) as session:
            jobs.request_cancel(session, workspace_id=rows.workspace_id, job_id=job_id)
        return [first, await glances.at(place)]

    before, later = asyncio.run(ask())
    assert not before.is_over
    assert later.is_over


def test_job_that_is_not_there_is_told_to_all(rows: Rows, session_factory: SessionFactory) -> None:
    place = Place(rows.workspace_id, "job_x", 0)

    async def ask() -> list[Glance | BaseException]:
        glances = SharedGlances(session_factory, max_age_seconds=60.0)
        return await asyncio.gather(*(glances.at(place) for _ in range(3)), return_exceptions=True)

    assert [type(each) for each in asyncio.run(ask())] == [JobNotFound] * 3


def test_who_gives_up_does_not_end_the_look_of_others(
    rows: Rows, session_factory: SessionFactory
) -> None:
    place = Place(rows.workspace_id, rows.job(), 0)

    async def ask() -> Glance:
        glances = SharedGlances(session_factory, max_age_seconds=60.0)
        first, second = (asyncio.create_task(glances.at(place)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        return await second

    assert asyncio.run(ask()).events
