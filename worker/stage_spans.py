"""The stages of an attempt as spans: each lasts until the child tells of the next."""

from contextlib import ExitStack
from types import TracebackType
from typing import Self

from kdcore.progress import StageStarted
from kdstore.tracing import NO_SPAN, Span, Tracing
from worker.messages import Failed
from worker.outcomes import LastWord


class StageSpans:
    """Use it in `with`, by one thread: the stage that lasts at the end is over then."""

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing
        self._open = ExitStack()
        self._span: Span = NO_SPAN

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._open.__exit__(kind, error, traceback)

    def enter(self, started: StageStarted) -> None:
        """Begin a stage, and end the one before."""
        self._open.close()
        self._span = self._open.enter_context(
            self._tracing.span(
                started.stage,
                run=started.run,
                training_stage=started.training_stage,
                step=started.step,
            )
        )

    def end(self, last: LastWord) -> None:
        """End the stage with the child's last word: without one, or with bad news, it failed."""
        match last:
            case Failed():
                self._span.fail(last.code)
            case None:
                self._span.fail("the process ended without a word")
        self._open.close()
