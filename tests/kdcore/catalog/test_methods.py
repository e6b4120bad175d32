"""The catalogue lists every method that a job can name, with its paper and its needs."""

import json
from typing import get_args

from kdcore.catalog.methods import methods
from kdcore.spec import MethodSpec
from kdcore.spec.methods.base import MAX_TEACHERS


def test_every_method_of_the_spec_is_listed_once() -> None:
    union, *_ = get_args(MethodSpec)

    assert len(methods()) == len(get_args(union))
    assert {entry.spec for entry in methods()} == set(get_args(union))


def test_name_is_the_one_in_the_spec() -> None:
    for entry in methods():
        assert entry.spec.model_fields["name"].default == entry.name


def test_schema_is_json_and_requires_the_name() -> None:
    for entry in methods():
        schema = json.loads(json.dumps(entry.json_schema()))

        assert schema["required"] == ["name"]
        assert schema["additionalProperties"] is False


def test_every_method_cites_its_paper() -> None:
    for entry in methods():
        assert entry.paper.url.startswith("https://")


def test_needs_name_the_number_of_teachers_that_the_spec_enforces() -> None:
    for entry in methods():
        needs = entry.needs
        assert (needs.min_teachers, needs.max_teachers) == entry.spec.NUM_TEACHERS
        assert 0 <= needs.min_teachers <= needs.max_teachers <= MAX_TEACHERS


def test_needs_tell_of_layers_where_the_spec_has_that_field() -> None:
    for entry in methods():
        assert (entry.needs.layers is not None) == ("layers" in entry.spec.model_fields)
