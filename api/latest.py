"""The newest answer of something that may hang, asked by one thread at a time."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

AnswerT = TypeVar("AnswerT")


class Latest(Generic[AnswerT]):
    """Asks a question again when its answer is too old. Safe to share by threads.

    A question that hangs is not asked again meanwhile: however many want the answer, at most one
    thread waits for it without end.
    """

    def __init__(self, question: Callable[[], AnswerT]) -> None:
        self._question = question
        self._lock = threading.Lock()
        self._asked_at = 0.0
        self._answer: Future[AnswerT] | None = None

    def ask(self, *, max_age_seconds: float) -> Future[AnswerT]:
        """Give the answer that is on its way, or one asked for within that time; else a new one."""
        with self._lock:
            answer = self._answer
            age_seconds = time.monotonic() - self._asked_at
            if answer is None or (answer.done() and age_seconds >= max_age_seconds):
                answer = self._answer = Future()
                self._asked_at = time.monotonic()
                threading.Thread(target=self._find, args=(answer,), daemon=True).start()
            return answer

    def _find(self, answer: Future[AnswerT]) -> None:
        try:
            answer.set_result(self._question())
        except Exception as error:  # noqa: BLE001  # it is raised to whoever waits for the answer
            answer.set_exception(error)
