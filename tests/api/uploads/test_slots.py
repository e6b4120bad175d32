"""Slots: no more at once than memory is for, and an answer for those that wait too long."""

import asyncio

import pytest

from api.errors import UploadsBusy
from api.uploads.slots import Slots, UploadSlots


def test_no_more_are_under_way_than_there_are_slots() -> None:
    async def most_at_once() -> int:
        slots = Slots(3, wait_seconds=60.0)
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


def test_memory_is_shared_out_among_parts_and_wholes() -> None:
    async def nums_of_slots(memory_bytes: int) -> tuple[int, int]:
        slots = UploadSlots(memory_bytes=memory_bytes, stream_bytes=10)
        return slots.parts.num_slots, slots.completions.num_slots

    assert asyncio.run(nums_of_slots(90)) == (6, 3)
    assert asyncio.run(nums_of_slots(1)) == (1, 1)


def test_who_waits_too_long_is_told_to_come_again() -> None:
    async def wait() -> None:
        slots = Slots(1, wait_seconds=0.01)
        async with slots.one(), slots.one():
            pass

    with pytest.raises(UploadsBusy):
        asyncio.run(wait())


def test_slot_is_free_again_after_a_failure() -> None:
    async def fail_then_send() -> bool:
        slots = Slots(1, wait_seconds=60.0)
        with pytest.raises(ConnectionError):
            async with slots.one():
                raise ConnectionError
        async with slots.one():
            return True

    assert asyncio.run(fail_then_send())
