"""Logs are one JSON object a line, with fields from an allow-list and no others."""

import json
import logging
import sys

from kdstore.log import (
    JsonFormatter,
    TextFormatter,
    current_log_fields,
    log_fields,
    thread_with_log_fields,
)

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


def test_fields_of_the_place_are_on_every_line_that_is_logged_there() -> None:
    with log_fields(job_id="job_1", attempt=None), log_fields(attempt=2):
        line = json.loads(JsonFormatter(FIELDS).format(record_with()))
    assert (line["job_id"], line["attempt"]) == ("job_1", 2)
    assert "job_id" not in json.loads(JsonFormatter(FIELDS).format(record_with()))


def test_what_a_line_says_itself_counts_more_than_its_place() -> None:
    with log_fields(attempt=1):
        line = json.loads(JsonFormatter(FIELDS).format(record_with(attempt=2)))
    assert line["attempt"] == 2


def test_fields_of_the_place_are_held_to_the_allowed_ones() -> None:
    with log_fields(database_url="hunter2"):
        assert "hunter2" not in JsonFormatter(FIELDS).format(record_with())


def test_thread_takes_the_fields_along_and_may_outlive_the_place() -> None:
    seen: list[object] = []
    with log_fields(job_id="job_1"):
        thread = thread_with_log_fields(lambda: seen.append(current_log_fields()), name="watch")
    thread.start()
    thread.join()
    assert seen == [{"job_id": "job_1"}]


def test_text_is_one_line_for_people_whatever_a_stranger_wrote() -> None:
    with log_fields(job_id="job_1\nERROR forged"):
        text = TextFormatter(FIELDS).format(record_with(attempt=2))
    assert "\n" not in text
    assert "attempt=2" in text


def test_text_has_its_trace_below() -> None:
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        record = record_with(exc_info=sys.exc_info())
    first, *trace = TextFormatter(FIELDS).format(record).splitlines()
    assert "attempt" in first
    assert trace[-1].startswith("ZeroDivisionError")
