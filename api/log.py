"""Structured logs: one JSON object a line, holding only fields from an allow-list."""

import json
import logging
import sys
from datetime import UTC, datetime

# Nothing else that is handed to a logger gets out: no key, no URL, no body.
FIELDS = (
    "request_id",
    "operation",
    "method",
    "status",
    "code",
    "duration_ms",
    "workspace_id",
    "key_id",
    "job_id",
    "model_id",
    "dataset_id",
    "upload_id",
    "task",
    "subject_id",
    "address",
)


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Write the time, level, logger, message, allowed fields, and the trace if there is one."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: vars(record)[name] for name in FIELDS if name in vars(record)}
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure(level: str) -> None:
    """Send this process's logs to standard error as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # It warns of every connection to a broker of plain files that it has no host name.
    logging.getLogger("kombu.connection").setLevel(logging.ERROR)
