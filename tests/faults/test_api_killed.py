"""The API is killed in the middle of what a client sends, and of what it answers."""

import hashlib
import os
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.faults.disturbing import Record, check_equal
from tests.faults.link import Link
from tests.faults.site import JOB, Site, Trained, Worker

pytestmark = pytest.mark.faults

_PART_BYTES = 65_536
_KEY = {"Idempotency-Key": "once"}


@pytest.fixture
def link(site: Site) -> Iterator[Link]:
    """A link to the API."""
    link = Link(site.api_port)
    yield link
    link.close()


def _put(site: Site, upload: dict[str, Any], number: int, part: bytes) -> None:
    site.http.put(f"uploads/{upload['id']}/parts/{number}", content=part).raise_for_status()


def test_upload_goes_on_where_the_api_was_killed(site: Site, record: Record) -> None:
    record("API killed", "in the middle of an upload", "")
    data = os.urandom(4 * _PART_BYTES)
    parts = [data[start : start + _PART_BYTES] for start in range(0, len(data), _PART_BYTES)]
    wanted = {"purpose": "dataset", "filename": "data.npz", "size_bytes": len(data)}
    upload = site.http.post("uploads", json=wanted).json()
    _put(site, upload, 1, parts[0])

    def half_a_part() -> Iterator[bytes]:
        yield parts[1][: _PART_BYTES // 2]
        site.api.kill()
        yield parts[1][_PART_BYTES // 2 :]

    with pytest.raises(httpx.TransportError):
        site.http.put(
            f"uploads/{upload['id']}/parts/2",
            content=half_a_part(),
            headers={"Content-Length": str(_PART_BYTES)},
        )
    site.start_api()
    found = site.http.get(f"uploads/{upload['id']}").json()
    assert [part["received"] for part in found["parts"]] == [True, False, False, False]
    for number in (2, 3, 4):
        _put(site, upload, number, parts[number - 1])
    stored = site.http.post(f"uploads/{upload['id']}/complete").json()
    assert stored["status"] == "stored"
    assert stored["sha256"] == hashlib.sha256(data).hexdigest()
    record("API killed", "in the middle of an upload", "went on at the part that was cut off")


def test_completing_an_upload_while_the_api_is_killed_can_be_asked_for_again(
    site: Site, record: Record
) -> None:
    record("API killed", "while an upload is put together", "")
    data = os.urandom(_PART_BYTES)
    wanted = {"purpose": "dataset", "filename": "data.npz", "size_bytes": len(data)}
    upload = site.http.post("uploads", json=wanted).json()
    _put(site, upload, 1, data)
    site.backends.s3.freeze()
    with site.client(site.api_port) as client:
        request = client.build_request("POST", f"uploads/{upload['id']}/complete")
        with pytest.raises(httpx.ReadTimeout):
            client.send(_impatient(request))
    site.api.kill()
    site.backends.s3.thaw()
    site.start_api()
    stored = site.http.post(f"uploads/{upload['id']}/complete").json()
    assert stored["status"] == "stored"
    assert stored["sha256"] == hashlib.sha256(data).hexdigest()
    record("API killed", "while an upload is put together", "asked again: stored")


def test_request_whose_answer_was_cut_off_gets_the_first_answer_again(
    site: Site,
    worker: Worker,
    undisturbed: Trained,
    link: Link,
    record: Record,
) -> None:
    record("API killed", "in the middle of an answer", "")
    before = {job["id"] for job in site.http.get("jobs").json()["items"]}
    link.stall_replies()
    with site.client(link.port) as client:
        request = client.build_request("POST", "jobs", json=JOB, headers=_KEY)
        with pytest.raises(httpx.ReadTimeout):
            client.send(_impatient(request))
    site.api.kill()
    site.start_api()
    again = site.http.post("jobs", json=JOB, headers=_KEY)
    assert again.status_code == 201
    assert again.headers["Idempotency-Replayed"] == "true"
    created = {job["id"] for job in site.http.get("jobs").json()["items"]} - before
    assert created == {again.json()["id"]}
    assert site.wait_until_settled(again.json()["id"]) == "succeeded"
    check_equal(site, again.json()["id"], undisturbed)
    record("API killed", "in the middle of an answer", "first answer again, one job")


def _impatient(request: httpx.Request) -> httpx.Request:
    """Let a request wait a few seconds for its answer, and no longer."""
    request.extensions["timeout"] = {"connect": 5.0, "read": 3.0, "write": 5.0, "pool": 5.0}
    return request
