"""The lines that the API logs, as its process would write them."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from api.log import FIELDS
from kdstore.log import JsonFormatter


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter(FIELDS))
        self.kept: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.kept.append(json.loads(self.format(record)))


@contextmanager
def keeping_lines() -> Iterator[list[dict[str, Any]]]:
    """Give a list that is filled with each line that is logged meanwhile."""
    handler = _Lines()
    logger = logging.getLogger("potstill")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)  # which also forgets what was found out about other levels
    try:
        yield handler.kept
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
