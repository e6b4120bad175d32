"""Requests: authorised at one place only, repeated only where that is safe, errors with fields."""

import socket

import pytest
from pydantic import BaseModel

from kdclient.errors import ApiProblem, ConnectionFailed, UnexpectedAnswer
from kdclient.transport import Call, Transport
from tests.kdclient.conftest import RETRIES
from tests.kdclient.scripted_server import (
    Reply,
    ScriptedServer,
    hang_up,
    json_reply,
    problem_reply,
)


class Thing(BaseModel):
    name: str


class TestRepeating:
    def test_read_is_repeated_until_the_service_is_back(
        self, scripted: ScriptedServer, transport: Transport, naps: list[float]
    ) -> None:
        scripted.on(
            "GET",
            "/v1/thing",
            problem_reply(503, "database_unavailable", Retry_After="2"),
            hang_up(),
            json_reply({"name": "a"}),
        )
        assert transport.read(Call("GET", "v1/thing"), Thing) == Thing(name="a")
        assert naps == [2.0, 2.0]  # what was asked for, then the second wait of our own

    def test_answer_that_breaks_off_is_read_again(
        self, scripted: ScriptedServer, transport: Transport
    ) -> None:
        scripted.on(
            "GET", "/v1/thing", Reply(body=b'{"name": "a"}', cut_after=5), json_reply({"name": "a"})
        )
        assert transport.read(Call("GET", "v1/thing"), Thing).name == "a"

    def test_creation_without_a_key_is_not_repeated_after_a_broken_line(
        self, scripted: ScriptedServer, transport: Transport
    ) -> None:
        scripted.on("POST", "/v1/thing", hang_up())
        with pytest.raises(ConnectionFailed):
            transport.send(Call("POST", "v1/thing", json={}))
        assert len(scripted.asked) == 1

    def test_creation_with_an_idempotency_key_is_repeated_with_the_same_key(
        self, scripted: ScriptedServer, transport: Transport
    ) -> None:
        scripted.on("POST", "/v1/thing", hang_up(), json_reply({"name": "a"}, 201))
        transport.send(Call("POST", "v1/thing", json={}, headers={"Idempotency-Key": "once"}))
        assert [each.headers["idempotency-key"] for each in scripted.asked] == ["once", "once"]

    def test_service_that_did_nothing_is_asked_again_whatever_the_request(
        self, scripted: ScriptedServer, transport: Transport
    ) -> None:
        scripted.on("POST", "/v1/thing", problem_reply(429, "slow_down"), json_reply({}))
        transport.send(Call("POST", "v1/thing", json={}))
        assert len(scripted.asked) == 2

    def test_busy_service_is_given_up_with_its_own_words(
        self, scripted: ScriptedServer, transport: Transport, naps: list[float]
    ) -> None:
        scripted.on("GET", "/v1/thing", problem_reply(503, "database_unavailable"))
        with pytest.raises(ApiProblem) as caught:
            transport.send(Call("GET", "v1/thing"))
        assert caught.value.code == "database_unavailable"
        assert naps == [1.0, 2.0, 4.0]

    def test_streamed_content_is_sent_whole_at_each_attempt(
        self, scripted: ScriptedServer, transport: Transport
    ) -> None:
        scripted.on("PUT", "/v1/part", problem_reply(503, "storage_unavailable"), json_reply({}))
        call = Call(
            "PUT",
            "v1/part",
            content=lambda: iter([b"ab", b"cd"]),
            headers={"Content-Length": "4"},
        )
        transport.send(call)
        assert [each.body for each in scripted.asked] == [b"abcd", b"abcd"]

    def test_nobody_listening_is_said_with_the_address(self, naps: list[float]) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        transport = Transport(url, "a-key", retries=RETRIES, sleep=naps.append)
        with pytest.raises(ConnectionFailed, match=url):
            transport.send(Call("POST", "v1/thing", json={}))
        assert len(naps) == 3  # nothing was sent, so even this may be repeated
        transport.close()


class TestAddresses:
    def test_key_goes_to_the_service(self, scripted: ScriptedServer, transport: Transport) -> None:
        scripted.on("GET", "/v1/thing", json_reply({}))
        transport.send(Call("GET", "v1/thing"))
        assert scripted.asked[0].headers["authorization"] == "Bearer a-key"

    def test_key_does_not_go_to_signed_links_elsewhere(
        self, scripted: ScriptedServer, naps: list[float]
    ) -> None:
        scripted.on("GET", "/bucket/v1/object", json_reply({}))
        transport = Transport("http://potstill.invalid", "a-key", sleep=naps.append)
        transport.send(Call("GET", f"{scripted.url}/bucket/v1/object?signature=s"))
        transport.close()
        assert "authorization" not in scripted.asked[0].headers

    def test_routes_under_another_public_address_are_asked_where_the_service_was_reached(
        self, scripted: ScriptedServer, transport: Transport
    ) -> None:
        scripted.on("GET", "/v1/jobs/job_1/artifacts/a", json_reply({}))
        transport.send(Call("GET", "https://potstill.invalid/v1/jobs/job_1/artifacts/a"))
        assert scripted.asked[0].headers["authorization"] == "Bearer a-key"

    def test_address_may_have_a_path(self, scripted: ScriptedServer) -> None:
        scripted.on("GET", "/potstill/v1/thing", json_reply({}))
        transport = Transport(f"{scripted.url}/potstill/", "a-key")
        transport.send(Call("GET", "v1/thing"))
        transport.close()
        assert scripted.asked[0].path == "/potstill/v1/thing"


class TestProblems:
    def test_problem_keeps_every_field(
        self, scripted: ScriptedServer, transport: Transport
    ) -> None:
        item = {"pointer": "/method/temperature", "code": "out_of_range", "detail": "Above 0."}
        body = {
            "code": "validation_failed",
            "detail": "One field is wrong.",
            "errors": [item, {"pointer": "", "parameter": "limit", "code": "x", "detail": "y"}],
            "request_id": "req_1",
        }
        scripted.on("POST", "/v1/jobs", json_reply(body, 422))
        with pytest.raises(ApiProblem) as caught:
            transport.send(Call("POST", "v1/jobs", json={}))
        problem = caught.value
        assert (problem.status, problem.code, problem.request_id) == (
            422,
            "validation_failed",
            "req_1",
        )
        assert problem.errors[0].pointer == "/method/temperature"
        assert "/method/temperature: Above 0." in problem.message
        assert "limit: y" in problem.message

    def test_request_id_is_taken_from_the_header_where_the_body_has_none(
        self, scripted: ScriptedServer, transport: Transport
    ) -> None:
        scripted.on("GET", "/v1/thing", problem_reply(404, "not_found", X_Request_Id="req_2"))
        with pytest.raises(ApiProblem) as caught:
            transport.send(Call("GET", "v1/thing"))
        assert caught.value.request_id == "req_2"

    @pytest.mark.parametrize("body", [b"<html>nginx</html>", b"[]", b'{"error": "x"}', b""])
    def test_refusal_that_is_no_problem_document_is_of_another_program(
        self, scripted: ScriptedServer, transport: Transport, body: bytes
    ) -> None:
        scripted.on("GET", "/v1/thing", Reply(404, body))
        with pytest.raises(UnexpectedAnswer, match="404"):
            transport.send(Call("GET", "v1/thing"))

    def test_answer_without_a_needed_field_names_it(
        self, scripted: ScriptedServer, transport: Transport
    ) -> None:
        scripted.on("GET", "/v1/thing", json_reply({"title": "a"}))
        with pytest.raises(UnexpectedAnswer, match="name is not what a Thing has"):
            transport.read(Call("GET", "v1/thing"), Thing)

    def test_redirects_are_not_followed(
        self, scripted: ScriptedServer, transport: Transport
    ) -> None:
        scripted.on("GET", "/v1/thing", Reply(302, b"", {"Location": "/elsewhere"}))
        with pytest.raises(UnexpectedAnswer, match="302"):
            transport.send(Call("GET", "v1/thing"))
