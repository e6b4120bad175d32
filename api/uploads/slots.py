"""How much of uploads moves through this process at once; the rest waits and takes no memory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from api.errors import UploadsBusy

# Less than clients wait for their bytes to be taken (kdclient: a minute), and for an answer (five).
_PART_WAIT_SECONDS = 30.0
_COMPLETION_WAIT_SECONDS = 240.0
_SHARE_OF_PARTS = 2 / 3


class Slots:
    """Lets a few through at once, first come, first served."""

    def __init__(self, num_slots: int, *, wait_seconds: float) -> None:
        """Make at least one slot, for which others wait so long; used on one event loop."""
        self.num_slots = max(1, num_slots)
        self._free = anyio.Semaphore(self.num_slots)
        self._wait_seconds = wait_seconds

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Hold a slot.

        Raises:
            UploadsBusy: none became free in time.
        """
        try:
            with anyio.fail_after(self._wait_seconds):
                await self._free.acquire()
        except TimeoutError:
            raise UploadsBusy from None
        try:
            yield
        finally:
            self._free.release()


class UploadSlots:
    """Slots for parts that arrive, and for wholes that are put together.

    Apart, since a large upload takes minutes to put together, and parts must not wait for that.
    """

    def __init__(self, *, memory_bytes: int, stream_bytes: int) -> None:
        """Share memory out among them.

        Args:
            memory_bytes: For all together.
            stream_bytes: What one stream into storage takes.
        """
        num_streams = memory_bytes // stream_bytes
        num_parts = int(num_streams * _SHARE_OF_PARTS)
        self.parts = Slots(num_parts, wait_seconds=_PART_WAIT_SECONDS)
        self.completions = Slots(num_streams - num_parts, wait_seconds=_COMPLETION_WAIT_SECONDS)
