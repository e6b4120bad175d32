"""How many parts of uploads are on their way through this process at once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from api.errors import UploadsBusy

# Less than clients wait for their bytes to be taken (kdclient: a minute).
_WAIT_SECONDS = 30.0


class PartSlots:
    """Lets so many parts through at once as the memory is for; others wait, their bytes unread."""

    def __init__(
        self, *, memory_bytes: int, bytes_of_part: int, wait_seconds: float = _WAIT_SECONDS
    ) -> None:
        """Make at least one slot; call it where an event loop runs.

        Args:
            memory_bytes: For all parts that are under way.
            bytes_of_part: The most that one of them takes.
            wait_seconds: For a slot.
        """
        self.num_slots = max(1, memory_bytes // bytes_of_part)
        self._free = anyio.Semaphore(self.num_slots)
        self._wait_seconds = wait_seconds

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Hold a slot, first come, first served.

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
