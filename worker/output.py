"""What a child writes to stdout and stderr: for the operator's log, never for the user."""

import logging
from collections.abc import Callable
from typing import IO

from kdstore.log import Fields

_log = logging.getLogger(__name__)

_MAX_OUTPUT_LINES = 200
_MAX_OUTPUT_LINE_BYTES = 2_000


def log_output(output: IO[bytes], fields: Callable[[], Fields]) -> None:
    """Log the first lines, and read on to the end so that the child never blocks; then close it.

    Each with what `fields` gives at that moment. They may hold paths and stack traces.
    """
    num_lines = 0
    with output:
        while line := output.readline(_MAX_OUTPUT_LINE_BYTES):
            num_lines += 1
            if num_lines <= _MAX_OUTPUT_LINES:
                text = line.decode(errors="replace").rstrip()
                _log.warning("child output", extra={**fields(), "detail": text})
