"""From JSON to a spec, with every mistake placed by a JSON pointer and told in plain words."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from kdcore.errors import Problem, SpecInvalid
from kdcore.spec.jobs import AnyJob, JobSpec
from kdcore.spec.networks import ImageInput, NetworkDescription

SpecT = TypeVar("SpecT")

_JOB: TypeAdapter[AnyJob] = TypeAdapter(JobSpec)

_LONGEST_NUMBER = 1e9

# pydantic's error types that have a plainer name of ours; the rest keep pydantic's, which is
# stable and snake_case.
_CODES = {
    "missing": "field_missing",
    "union_tag_not_found": "field_missing",
    "union_tag_invalid": "unknown_choice",
    "model_attributes_type": "object_type",
    "model_type": "object_type",
    "dict_type": "object_type",
    "tuple_type": "list_type",
    "literal_error": "unknown_choice",
    "greater_than": "out_of_range",
    "greater_than_equal": "out_of_range",
    "less_than": "out_of_range",
    "less_than_equal": "out_of_range",
    "finite_number": "out_of_range",
}

_MESSAGES = {
    "missing": "This field is required.",
    "model_attributes_type": "This must be an object: {…}.",
    "model_type": "This must be an object: {…}.",
    "dict_type": "This must be an object: {…}.",
    "tuple_type": "This must be a list: […].",
    "list_type": "This must be a list: […].",
    "json_invalid": "The body is not valid JSON.",
}


def parse_job(data: str | bytes | Mapping[str, Any]) -> AnyJob:
    """Read a job from JSON text or an already parsed object.

    Raises:
        SpecInvalid: with one `Problem` for each mistake.
    """
    return _parse(_JOB, data)


def parse_network(data: str | bytes | Mapping[str, Any]) -> NetworkDescription:
    """Read a `student.json` (or any network description). Raises SpecInvalid."""
    return _parse(TypeAdapter(NetworkDescription), data)


def parse_image_input(data: str | bytes | Mapping[str, Any]) -> ImageInput:
    """Read an image input description. Raises SpecInvalid."""
    return _parse(TypeAdapter(ImageInput), data)


def _parse(adapter: TypeAdapter[SpecT], data: str | bytes | Mapping[str, Any]) -> SpecT:
    text = data if isinstance(data, str | bytes) else json.dumps(data)
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        raise SpecInvalid(problems_from(error, _load(text))) from None


def _load(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def problems_from(error: ValidationError, document: Any) -> list[Problem]:
    """Translate a validation error about `document` into problems with JSON pointers."""
    return problems_of([dict(item) for item in error.errors(include_url=False)], document)


def problems_of(items: Sequence[Mapping[str, Any]], document: Any) -> list[Problem]:
    """Translate pydantic's error items, as web frameworks pass them on, into problems."""
    problems = [_problem(item, document) for item in items]
    deepest = [p.pointer for p in problems if p.code != "too_short"]
    # A list with one bad element is also reported as too short; the element says it better.
    return [
        p
        for p in problems
        if p.code != "too_short" or not any(d.startswith(f"{p.pointer}/") for d in deepest)
    ]


def _problem(item: Mapping[str, Any], document: Any) -> Problem:
    context: dict[str, Any] = item.get("ctx", {})
    path = _path_in_document(item["loc"], document, missing=item["type"] == "missing")
    path += [part for part in str(context.get("field", "")).split("/") if part]
    if item["type"] in ("union_tag_invalid", "union_tag_not_found"):
        path.append(str(context["discriminator"]).strip("'"))
    elif item["type"] == "unknown_architecture" and "field" not in context:
        path.append("architecture")
    pointer = "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path)
    message = _message(item, context)
    if item["type"] == "union_tag_not_found":
        meant = path[-2] if len(path) > 1 else "kind of job"
        message = f"This field is required; it says which {meant} is meant."
    return Problem(pointer, _CODES.get(item["type"], item["type"]), message)


def _path_in_document(loc: tuple[Any, ...], document: Any, *, missing: bool) -> list[str]:
    """Drop the union tags that pydantic puts into `loc`: they are in no document."""
    path: list[str] = []
    here = document
    for index, part in enumerate(loc):
        is_last = index == len(loc) - 1
        if isinstance(here, dict) and part in here:
            here = here[part]
        elif isinstance(here, list) and isinstance(part, int) and part < len(here):
            here = here[part]
        elif not (missing and is_last):
            continue
        path.append(str(part))
    return path


def _message(item: Mapping[str, Any], context: dict[str, Any]) -> str:
    kind = str(item["type"])
    if kind in _MESSAGES:
        return _MESSAGES[kind]
    match kind:
        case "union_tag_invalid":
            choices = str(context["expected_tags"]).replace("'", "")
            return f"{context['tag']!r} is not known here. Choose one of {choices}."
        case "too_short" | "too_long":
            return f"{str(item['msg']).replace('Tuple', 'This list').rstrip('.')}."
        case _:
            text = str(item["msg"]).replace("Input should be", "This must be").rstrip(".")
            return f"{text}{_number_given(item)}."


def _number_given(item: Mapping[str, Any]) -> str:
    """Repeat what was given where it is a number; anything longer may be anything."""
    given = item.get("input")
    if isinstance(given, bool) or not isinstance(given, int | float):
        return ""
    return f", not {given}" if abs(given) < _LONGEST_NUMBER else ""
