"""Random ids with a prefix that says what they name."""

import secrets
from typing import Literal

Prefix = Literal["job", "mdl", "dts", "upl", "key", "wsp"]

# No vowels and nothing that looks like something else: ids spell no words and can be read aloud.
ALPHABET = "0123456789bcdfghjkmnpqrstvwxyz"
_LENGTH = 22  # 30^22 is about 2^108


def new_id(prefix: Prefix) -> str:
    """Make an unguessable id such as `job_4kq…`: prefix, underscore, 22 characters."""
    return f"{prefix}_{random_text(_LENGTH)}"


def random_text(length: int) -> str:
    """Draw `length` characters of `ALPHABET` from the system's secure source."""
    return "".join(secrets.choice(ALPHABET) for _ in range(length))
