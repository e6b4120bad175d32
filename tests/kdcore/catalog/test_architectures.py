"""The catalogue lists every architecture that a spec can name, with a schema that says how."""

import json
from typing import get_args

from kdcore.catalog.architectures import architectures
from kdcore.catalog.limits import MAX_PARAMETERS
from kdcore.catalog.torchvision_names import TORCHVISION_CLASSIFIERS
from kdcore.spec import Architecture


def test_every_architecture_of_the_spec_is_listed_once() -> None:
    union, *_ = get_args(Architecture)
    in_spec = {get_args(member)[0] for member in get_args(union)}

    assert len(architectures()) == len(in_spec)
    assert {entry.spec for entry in architectures()} == in_spec


def test_names_are_what_the_field_architecture_takes() -> None:
    names = {entry.name: entry.names for entry in architectures()}

    assert names["mlp"] == ("mlp",)
    assert names["torchvision/*"] == tuple(
        f"torchvision/{name}" for name in sorted(TORCHVISION_CLASSIFIERS)
    )


def test_schema_is_json_and_requires_the_name() -> None:
    for entry in architectures():
        schema = json.loads(json.dumps(entry.json_schema()))

        assert schema["type"] == "object"
        assert schema["required"][0] == "architecture"
        assert schema["required"].count("architecture") == 1


def test_schema_of_torchvision_lists_its_names() -> None:
    (entry,) = (entry for entry in architectures() if entry.name == "torchvision/*")

    assert entry.json_schema()["properties"]["architecture"]["enum"] == list(entry.names)


def test_schema_says_which_other_fields_are_required() -> None:
    required = {entry.name: entry.json_schema()["required"] for entry in architectures()}

    assert required == {
        "mlp": ["architecture", "hidden"],
        "cnn": ["architecture", "layers"],
        "resnet_cifar": ["architecture", "depth"],
        "reused_classifier": [
            "architecture",
            "backbone",
            "layer",
            "channels",
            "bottleneck",
            "height",
            "width",
        ],
        "wrn": ["architecture", "depth"],
        "torchvision/*": ["architecture"],
    }


def test_limits_say_what_images_fit() -> None:
    limits = {entry.name: entry.limits for entry in architectures()}

    assert limits["torchvision/*"].image_channels == (3,)
    assert limits["cnn"].image_channels == tuple(range(1, 17))
    assert {limit.max_parameters for limit in limits.values()} == {MAX_PARAMETERS}


def test_published_architectures_cite_their_paper() -> None:
    papers = {entry.name: entry.paper for entry in architectures() if entry.paper}

    assert {name: paper.url for name, paper in papers.items()} == {
        "resnet_cifar": "https://arxiv.org/abs/1512.03385",
        "reused_classifier": "https://arxiv.org/abs/2203.14001",
        "wrn": "https://arxiv.org/abs/1605.07146",
    }
