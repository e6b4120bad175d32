"""Bodies are refused before anything parses them."""

import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

from api.middleware import bodies

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

Client = Any  # a class of conftest.py, which tests cannot import
MakeToken = Any

_JSON = {"Content-Type": "application/json"}


def _status_line_of(url: str, request: bytes) -> bytes:
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.settimeout(10)
        connection.sendall(request)
        return connection.recv(200).split(b"\r\n")[0]


class TestSize:
    def test_body_at_the_limit_is_parsed(self, client: Client) -> None:
        body = b"{}".ljust(bodies.MAX_BYTES)
        answer = client.post("/v1/jobs", content=body, headers=_JSON)
        assert answer.json()["code"] == "validation_failed"

    def test_one_byte_more_is_refused(self, client: Client) -> None:
        body = b"{}".ljust(bodies.MAX_BYTES + 1)
        answer = client.post("/v1/jobs", content=body, headers=_JSON)
        assert answer.status_code == 413
        assert answer.json()["code"] == "body_too_large"
        assert answer.headers["X-Request-Id"] == answer.json()["request_id"]

    def test_body_without_announced_length_is_counted(self, live_url: str) -> None:
        chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
        request = (
            b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 5
        )
        assert b"413" in _status_line_of(live_url, request)

    def test_body_without_a_key_is_limited_too(self, anonymous: Client) -> None:
        answer = anonymous.post("/v1/jobs", content=b" " * 300_000, headers=_JSON)
        assert answer.status_code == 413


class TestDepth:
    def test_depth_at_the_limit_is_parsed(self, client: Client) -> None:
        body = b"[" * bodies.MAX_DEPTH + b"]" * bodies.MAX_DEPTH
        answer = client.post("/v1/jobs", content=body, headers=_JSON)
        assert answer.json()["code"] == "validation_failed"

    @pytest.mark.parametrize("opening", [b"[", b'{"a":'])
    def test_ten_thousand_levels_are_refused(self, client: Client, opening: bytes) -> None:
        answer = client.post("/v1/jobs", content=opening * 10_000, headers=_JSON)
        assert answer.status_code == 400
        assert answer.json()["code"] == "body_too_deep"

    def test_brackets_inside_strings_do_not_count(self, client: Client) -> None:
        body = b'{"name": "' + b"[" * 100 + b'\\"' + b"{" * 100 + b'"}'
        answer = client.post("/v1/jobs", content=body, headers=_JSON)
        assert answer.json()["code"] == "validation_failed"

    @pytest.mark.parametrize(
        "body", [b'"' + b'\\"' * 120_000, b'"\\' * 120_000, b"\\" * 250_000, b'"' * 250_000]
    )
    def test_hostile_quoting_is_no_work(self, client: Client, body: bytes) -> None:
        # A scan that were quadratic would keep this test busy for minutes.
        answer = client.post("/v1/jobs", content=body, headers=_JSON)
        assert answer.status_code == 400


class TestContent:
    @pytest.mark.parametrize("body", [b"{", b"not json", b"\xff\xfe", b"{'a': 1}"])
    def test_what_is_not_json_is_refused(self, client: Client, body: bytes) -> None:
        answer = client.post("/v1/jobs", content=body, headers=_JSON)
        assert answer.status_code == 400
        assert answer.json()["code"] in ("json_invalid", "bad_request")

    def test_integer_of_ten_thousand_digits_is_refused(self, client: Client) -> None:
        body = b'{"seed": ' + b"9" * 10_000 + b"}"
        answer = client.post("/v1/jobs", content=body, headers=_JSON)
        assert answer.status_code == 400

    @pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", ""])
    def test_other_media_types_are_refused(self, client: Client, media_type: str) -> None:
        answer = client.post("/v1/jobs", content=b"{}", headers={"Content-Type": media_type})
        assert answer.status_code == 415
        assert answer.json()["code"] == "body_not_json"

    def test_json_with_a_charset_is_taken(self, client: Client) -> None:
        headers = {"Content-Type": "application/json; charset=utf-8"}
        answer = client.post("/v1/jobs", content=b"{}", headers=headers)
        assert answer.json()["code"] == "validation_failed"

    def test_missing_body_is_named(self, client: Client) -> None:
        answer = client.post("/v1/jobs")
        assert answer.status_code == 422
        assert [item["code"] for item in answer.json()["errors"]] == ["body_missing"]

    def test_nul_in_a_body_is_refused(self, client: Client) -> None:
        answer = client.post("/v1/keys", json={"name": "a\0b"})
        assert answer.status_code == 400
        assert answer.json()["code"] == "nul_character"

    def test_escaped_backslash_before_u0000_is_no_nul(self, client: Client) -> None:
        answer = client.post("/v1/jobs", json={"name": "\\u0000"})
        assert answer.json()["code"] == "validation_failed"

    @pytest.mark.parametrize("url", ["/v1/jobs?cursor=%00", "/v1/jobs/%00"])
    def test_nul_in_an_address_is_refused(self, client: Client, url: str) -> None:
        answer = client.get(url)
        assert answer.status_code == 400
        assert answer.json()["code"] == "nul_character"


class TestTime:
    def test_body_that_does_not_arrive_is_given_up(
        self, live_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(bodies, "MAX_SECONDS", 0.05)
        request = (
            b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 100\r\n\r\n{"
        )
        assert b"408" in _status_line_of(live_url, request)
