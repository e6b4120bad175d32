"""Ids say what they name, and cannot be guessed."""

import re

from kdstore.ids import ALPHABET, new_id


def test_id_is_its_prefix_and_random_text_for_urls() -> None:
    assert re.fullmatch(rf"job_[{ALPHABET}]{{22}}", new_id("job"))


def test_no_two_ids_are_alike() -> None:
    assert len({new_id("upl") for _ in range(1000)}) == 1000
