"""Slots for parts: no more at once than memory is for, and an answer for those that wait."""

import asyncio

import pytest

from api.errors import UploadsBusy
from api.uploads.slots import PartSlots


def test_no_more_parts_are_under_way_than_there_is_memory_for() -> None:
    async def most_at_once() -> int:
        slots = PartSlots(memory_bytes=30, bytes_of_part=10)
        under_way = most = 0

        async def send() -> None:
            nonlocal under_way, most
            async with slots.one():
                under_way += 1
                most = max(most, under_way)
                await asyncio.sleep(0)
                under_way -= 1

        await asyncio.gather(*(send() for _ in range(20)))
        return most

    assert asyncio.run(most_at_once()) == 3


def test_there_is_a_slot_however_little_memory() -> None:
    async def num_slots() -> int:
        return PartSlots(memory_bytes=1, bytes_of_part=10).num_slots

    assert asyncio.run(num_slots()) == 1


def test_part_that_waits_too_long_is_told_to_come_again() -> None:
    async def wait() -> None:
        slots = PartSlots(memory_bytes=1, bytes_of_part=1, wait_seconds=0.01)
        async with slots.one(), slots.one():
            pass

    with pytest.raises(UploadsBusy):
        asyncio.run(wait())


def test_slot_is_free_again_after_a_part_that_failed() -> None:
    async def fail_then_send() -> bool:
        slots = PartSlots(memory_bytes=1, bytes_of_part=1)
        with pytest.raises(ConnectionError):
            async with slots.one():
                raise ConnectionError
        async with slots.one():
            return True

    assert asyncio.run(fail_then_send())
