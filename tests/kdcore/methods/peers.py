"""What peers' own code gave for tensors that are kept with it, in `fixtures/`."""

import json
from pathlib import Path
from typing import Any

FIXTURES = Path(__file__).parent / "fixtures"


def cases_of(peer: str) -> list[dict[str, Any]]:  # JSON as it was stored
    """Read the cases of `fixtures/PEER.json`, which tells origin, commit and file beside them."""
    cases: list[dict[str, Any]] = json.loads((FIXTURES / f"{peer}.json").read_text())["cases"]
    return cases
