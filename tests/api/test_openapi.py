"""The OpenAPI document is part of the product: ids, summaries, examples, errors, required."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from api.jobs import examples
from api.main import create_app
from api.models.schemas import FROM_JOB, FROM_UPLOAD, ModelCreate
from api.problems import MEDIA_TYPE
from api.schemas import Answer
from kdcore.report import Report
from kdcore.spec import parse_job
from kdstore.settings import Settings

Json = dict[str, Any]  # a document of any shape, hence Any

_PUBLIC = {"/", "/healthz", "/readyz", "/metrics"}


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Json:
    folder: Path = tmp_path_factory.mktemp("nothing")
    app = create_app(Settings(environment="test", data_dir=folder))
    return app.openapi()


def _operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield path, method, operation


def _resolved(document: Json, schema: Json) -> Json:
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def _has_example(document: Json, content: Json) -> bool:
    schema = _resolved(document, content.get("schema", {}))
    items = schema.get("properties", {}).get("items", {}).get("items", {})
    return bool(
        {"example", "examples"} & (set(content) | set(schema))
        or "examples" in _resolved(document, items)
    )


def test_document_is_valid_json_without_absolute_paths(document: Json) -> None:
    text = json.dumps(document)
    assert document["openapi"].startswith("3.")
    assert "site-packages" not in text


def test_every_operation_has_its_own_id_and_a_summary(document: Json) -> None:
    ids = [operation["operationId"] for _, _, operation in _operations(document)]
    assert len(ids) == len(set(ids)) > 30
    for path, method, operation in _operations(document):
        assert operation["operationId"].isidentifier(), path
        assert operation["summary"], (method, path)
        assert operation["description"], (method, path)


def test_every_operation_describes_its_errors_as_problems(document: Json) -> None:
    for path, method, operation in _operations(document):
        errors = {s: r for s, r in operation["responses"].items() if s.startswith(("4", "5"))}
        expected = {"500"} if path in _PUBLIC else {"401", "422", "500", "503"}
        assert expected <= set(errors), (method, path)
        for response in errors.values():
            assert list(response["content"]) == [MEDIA_TYPE], (method, path)
            assert response["content"][MEDIA_TYPE]["example"]["code"] in response["description"]


def test_writing_operations_say_that_viewers_may_not(document: Json) -> None:
    for path, method, operation in _operations(document):
        if method in ("put", "delete") or (method == "post" and not path.endswith("/validate")):
            assert "403" in operation["responses"], (method, path)


def test_creating_operations_take_an_idempotency_key(document: Json) -> None:
    for path, method, operation in _operations(document):
        headers = {
            p["name"].lower() for p in operation.get("parameters", []) if p["in"] == "header"
        }
        creates = method == "post" and path.count("/") == 2
        assert creates == ("idempotency-key" in headers), (method, path)
        conflict = operation["responses"].get("409", {}).get("description", "")
        assert creates == ("idempotency_conflict" in conflict), (method, path)


def test_every_operation_has_an_example(document: Json) -> None:
    for path, method, operation in _operations(document):
        for status, response in operation["responses"].items():
            if not status.startswith("2"):
                continue
            for media_type, content in response.get("content", {}).items():
                if media_type == "application/json":
                    assert _has_example(document, content), (method, path)
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if body is not None:
            assert _has_example(document, body), (method, path)


def test_examples_of_answers_are_what_the_schema_says() -> None:
    checked = 0
    for model in _answers(Answer):
        for example in model.model_json_schema().get("examples", []):
            model.model_validate_json(json.dumps(example))
            checked += 1
    assert checked > 15


def _answers(base: type[Answer]) -> set[type[Answer]]:
    return {base} | {found for child in base.__subclasses__() for found in _answers(child)}


def test_examples_of_requests_and_of_the_report_are_valid() -> None:
    for example in examples.REQUESTS:
        parse_job(example)
    for example in (FROM_UPLOAD, FROM_JOB):
        TypeAdapter[object](ModelCreate).validate_python(example)
    Report.model_validate(examples.REPORT)


def test_answers_have_no_optional_fields(document: Json) -> None:
    for path, method, operation in _operations(document):
        for status, response in operation["responses"].items():
            content = response.get("content", {}).get("application/json")
            if not status.startswith("2") or content is None or path.endswith("/report"):
                continue
            schema = _resolved(document, content["schema"])
            assert set(schema["properties"]) == set(schema["required"]), (method, path)


def test_bodies_take_no_unknown_fields(document: Json) -> None:
    for name, schema in document["components"]["schemas"].items():
        if schema.get("type") == "object" and "properties" in schema:
            assert schema.get("additionalProperties") is False, name


def test_routes_under_v1_need_a_key(document: Json) -> None:
    for path, method, operation in _operations(document):
        assert bool(operation.get("security")) == (path not in _PUBLIC), (method, path)


def test_route_functions_are_named_after_their_operation(document: Json) -> None:
    ids = {operation["operationId"] for _, _, operation in _operations(document)}
    assert {"create_job", "get_job", "list_jobs", "cancel_job", "put_part"} <= ids
