"""Report and artifacts: whole, in ranges, conditional, and under names of our own."""

import base64
import hashlib
from typing import Any

import httpx
import pytest

from kdstore.objects import ObjectStore

Client = Any  # these are classes of conftest.py, which tests cannot import
Rows = Any
MakeToken = Any

DATA = bytes(range(100))
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def job_id(rows: Rows) -> str:
    """A job that has succeeded."""
    job_id: str = rows.job()
    files = {"network.onnx": DATA, "report.html": b"<script>", "empty.bin": b""}
    rows.finish(rows.claim(job_id), files=files)
    return job_id


@pytest.fixture
def url(job_id: str) -> str:
    return f"/v1/jobs/{job_id}/artifacts/network.onnx"


class TestReport:
    def test_report_is_given_as_it_was_written(self, client: Client, job_id: str) -> None:
        answer = client.get(f"/v1/jobs/{job_id}/report")
        assert answer.status_code == 200
        assert answer.json()["columns"]["network"]["splits"]["test"]["accuracy"] == 0.75
        headers = {"If-None-Match": answer.headers["ETag"]}
        assert client.get(f"/v1/jobs/{job_id}/report", headers=headers).status_code == 304

    def test_unfinished_job_has_none(self, client: Client, rows: Rows) -> None:
        answer = client.get(f"/v1/jobs/{rows.job()}/report")
        assert answer.status_code == 404
        assert answer.json()["code"] == "report_not_found"

    def test_unknown_job_is_told_as_such(self, client: Client) -> None:
        assert client.get("/v1/jobs/job_x/report").json()["code"] == "job_not_found"


class TestList:
    def test_each_file_has_size_digest_and_a_url_that_works(
        self, client: Client, job_id: str
    ) -> None:
        page = client.get(f"/v1/jobs/{job_id}/artifacts").json()
        found = {item["name"]: item for item in page["items"]}
        assert list(found) == ["empty.bin", "network.onnx", "report.html"]
        assert found["network.onnx"]["size_bytes"] == 100
        assert found["network.onnx"]["sha256"] == DIGEST
        assert client.get(found["network.onnx"]["url"]).content == DATA

    def test_unfinished_job_has_none(self, client: Client, rows: Rows) -> None:
        assert client.get(f"/v1/jobs/{rows.job()}/artifacts").json()["items"] == []
        assert client.get("/v1/jobs/job_x/artifacts").status_code == 404


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
class TestDownload:
    def test_whole_file_with_digest_and_name(self, client: Client, url: str) -> None:
        answer = client.get(url)
        assert answer.status_code == 200
        assert answer.content == DATA
        digest = base64.b64encode(hashlib.sha256(DATA).digest()).decode()
        assert answer.headers["Content-Digest"] == f"sha-256=:{digest}:"
        assert answer.headers["ETag"] == f'"{DIGEST}"'
        assert answer.headers["Accept-Ranges"] == "bytes"
        assert answer.headers["Content-Length"] == "100"
        disposition = answer.headers["Content-Disposition"]
        assert disposition == 'attachment; filename="network.onnx"'
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in answer.headers["Content-Security-Policy"]

    def test_head_gives_the_same_headers_and_no_body(self, client: Client, url: str) -> None:
        head, get = client.request("HEAD", url), client.get(url)
        assert head.status_code == 200
        assert head.content == b""
        for name in ("Content-Length", "ETag", "Content-Digest", "Content-Type"):
            assert head.headers[name] == get.headers[name]
        assert client.request("HEAD", url, headers={"Range": "bytes=0-1"}).status_code == 200

    @pytest.mark.parametrize(
        ("asked", "start", "end"),
        [
            ("bytes=0-0", 0, 1),
            ("bytes=10-19", 10, 20),
            ("bytes=90-", 90, 100),
            ("bytes=90-1000", 90, 100),
            ("bytes=-5", 95, 100),
            ("bytes=-1000", 0, 100),
        ],
    )
    def test_one_range(self, client: Client, url: str, asked: str, start: int, end: int) -> None:
        answer = client.get(url, headers={"Range": asked})
        assert answer.status_code == 206
        assert answer.content == DATA[start:end]
        assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/100"
        assert answer.headers["Content-Length"] == str(end - start)
        assert "Content-Digest" not in answer.headers  # it would be of these bytes alone
        assert "Repr-Digest" in answer.headers

    @pytest.mark.parametrize("asked", ["bytes=100-", "bytes=100-200", "bytes=-0"])
    def test_range_past_the_end_is_unsatisfiable(
        self, client: Client, url: str, asked: str
    ) -> None:
        answer = client.get(url, headers={"Range": asked})
        assert answer.status_code == 416
        assert answer.json()["code"] == "range_unsatisfiable"
        assert answer.headers["Content-Range"] == "bytes */100"

    @pytest.mark.parametrize(
        "asked",
        [
            "bytes=0-1,5-6",
            "bytes=" + ",".join(f"{n}-{n}" for n in range(10_000)),
            "bytes=9-3",
            "bytes=-",
            "bytes=a-b",
            "lines=0-1",
            "bytes=" + "9" * 50 + "-",
        ],
    )
    def test_other_ranges_are_answered_by_the_whole_file(
        self, client: Client, url: str, asked: str
    ) -> None:
        answer = client.get(url, headers={"Range": asked})
        assert answer.status_code == 200
        assert answer.content == DATA

    def test_range_of_a_changed_file_is_answered_by_the_whole(
        self, client: Client, url: str
    ) -> None:
        same = {"Range": "bytes=0-1", "If-Range": f'"{DIGEST}"'}
        other = {"Range": "bytes=0-1", "If-Range": '"other"'}
        assert client.get(url, headers=same).status_code == 206
        assert client.get(url, headers=other).status_code == 200

    @pytest.mark.parametrize("named", [f'"{DIGEST}"', f'W/"{DIGEST}"', f'"x", "{DIGEST}"', "*"])
    def test_file_that_is_there_already_is_not_sent(
        self, client: Client, url: str, named: str
    ) -> None:
        answer = client.get(url, headers={"If-None-Match": named})
        assert answer.status_code == 304
        assert answer.content == b""
        assert answer.headers["ETag"] == f'"{DIGEST}"'

    def test_empty_file(self, client: Client, job_id: str) -> None:
        url = f"/v1/jobs/{job_id}/artifacts/empty.bin"
        assert client.get(url).content == b""
        assert client.get(url, headers={"Range": "bytes=0-"}).status_code == 416

    @pytest.mark.parametrize(
        "name", ["student.onnx", "%2e%2e%2fnetwork.onnx", "a%0d%0ab", "x" * 200]
    )
    def test_other_names_are_not_found(self, client: Client, job_id: str, name: str) -> None:
        answer = client.get(f"/v1/jobs/{job_id}/artifacts/{name}")
        assert answer.status_code == 404

    def test_lost_object_is_an_error_that_tells_no_key(
        self, client: Client, job_id: str, url: str, object_store: ObjectStore
    ) -> None:
        for key in object_store.list_keys(f"jobs/{job_id}"):
            object_store.delete(key)
        answer = client.get(url)
        assert answer.status_code == 500
        assert answer.json()["code"] == "internal_error"
        assert "artifacts" not in answer.text

    def test_interrupted_download_goes_on_over_a_real_connection(
        self, live_url: str, make_token: MakeToken, rows: Rows
    ) -> None:
        data = bytes(5_000_000)
        job_id = rows.job()
        rows.finish(rows.claim(job_id), files={"big.bin": data})
        headers = {"Authorization": f"Bearer {make_token()}"}
        url = f"{live_url}/v1/jobs/{job_id}/artifacts/big.bin"
        with httpx.Client(headers=headers) as client:
            with client.stream("GET", url) as answer:
                begun = next(answer.iter_bytes())
            rest = client.get(url, headers={"Range": f"bytes={len(begun)}-"})
        assert rest.status_code == 206
        assert begun + rest.content == data
