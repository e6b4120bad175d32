"""Jobs are told apart by what they compute."""

from typing import Any

import pytest

from kdcore.spec import parse_job
from recipes.store import content_digest
from tests.recipes.conftest import STUDENT


def digest(**changes: Any) -> str:
    return content_digest(parse_job(STUDENT | changes), ["a", "b"], [])


@pytest.mark.parametrize(
    "changes",
    [
        {"method": {"name": "dist"}},
        {"method": {"name": "logit_kd", "temperature": 5}},
        {"student": {"architecture": "resnet_cifar", "depth": 8}},
        {"training": {"num_epochs": 2, "batch_size": 64, "schedule": {"name": "constant"}}},
        {"calibration": {"rule": "none"}},
        {"transfer": {"exclude_classes": [4]}},
    ],
)
def test_other_jobs_have_other_digests(changes: dict[str, Any]) -> None:
    assert digest(**changes) != digest()


def test_architectures_with_the_same_fields_differ() -> None:
    assert digest(student={"architecture": "resnet_cifar", "depth": 16 + 4}) != digest(
        student={"architecture": "wrn", "depth": 16}
    )


def test_name_and_written_out_defaults_do_not_count() -> None:
    assert digest(name="another", method={"name": "logit_kd", "temperature": 4}) == digest()


def test_other_images_give_another_digest() -> None:
    assert content_digest(parse_job(STUDENT), ["a", "c"], []) != digest()
