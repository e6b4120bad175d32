"""Logs are one JSON object a line, with fields from an allow-list and no others."""

import json
import logging
import sys

from kdstore.log import JsonFormatter

FIELDS = ("job_id", "attempt")


def record_with(**fields: object) -> logging.LogRecord:
    record = logging.makeLogRecord({"name": "worker", "levelno": logging.INFO, "msg": "attempt"})
    vars(record).update(fields)
    return record


def test_line_holds_job_and_attempt() -> None:
    line = json.loads(JsonFormatter(FIELDS).format(record_with(job_id="job_1", attempt=2)))
    assert (line["message"], line["job_id"], line["attempt"]) == ("attempt", "job_1", 2)


def test_other_fields_do_not_get_out() -> None:
    assert "hunter2" not in JsonFormatter(FIELDS).format(record_with(database_url="hunter2"))


def test_trace_is_part_of_the_one_line() -> None:
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        record = record_with(exc_info=sys.exc_info())
    text = JsonFormatter(FIELDS).format(record)
    assert "\n" not in text
    assert "ZeroDivisionError" in json.loads(text)["trace"]
