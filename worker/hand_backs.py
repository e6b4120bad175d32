"""What a worker holds, so that it hands back even what a stuck thread works on."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kdstore.errors import AttemptLost, ValidationLost
from worker.retries import DATABASE_AWAY

_log = logging.getLogger(__name__)

HandBack = Callable[[], None]


class HandBacks:
    """How to hand back each job and each validation that a thread of this worker holds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: list[HandBack] = []

    @contextmanager
    def holding(self, hand_back: HandBack) -> Iterator[None]:
        """Keep `hand_back` for the length of the block; another thread may call it meanwhile.

        It raises AttemptLost or ValidationLost if the block has ended its work itself.
        """
        with self._lock:
            self._held.append(hand_back)
        try:
            yield
        finally:
            with self._lock:
                self._held.remove(hand_back)

    def hand_back_all(self) -> bool:
        """Hand back what is still held; False if the database did not take all of it.

        Call it when no child works any more. The fence refuses whatever the stuck threads write.
        """
        with self._lock:
            held = list(self._held)
        are_handed_back = [_is_handed_back(hand_back) for hand_back in held]
        return all(are_handed_back)


def _is_handed_back(hand_back: HandBack) -> bool:
    try:
        hand_back()
    except (AttemptLost, ValidationLost):
        return True  # its own thread was faster
    except DATABASE_AWAY as error:
        _log.warning("not handed back", extra={"detail": type(error).__name__})
        return False
    _log.warning("handed back what did not end in time")
    return True
