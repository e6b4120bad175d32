"""`python -m doctor [--json] [--quick] [--url ADDRESS]`: 0 if nothing failed, else 1."""

import argparse
import importlib.util
import logging
import os
import sys
from collections.abc import Iterator, Sequence

from pydantic import ValidationError

from doctor.addresses import examine_api
from doctor.connections import examine_broker, examine_objects
from doctor.database import examine_database
from doctor.findings import Finding, as_json, as_table, has_failed
from doctor.machine import examine_disk, examine_torch
from doctor.traces import examine_traces
from kdstore.settings import Settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Examine this installation by the settings of the environment."""
    parser = argparse.ArgumentParser(prog="python -m doctor", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--url", default="", help="where the API is, if not where settings say")
    parser.add_argument("--quick", action="store_true", help="leave out torch, which takes seconds")
    options = parser.parse_args(arguments)
    findings = list(examine(url=options.url, is_quick=options.quick))
    sys.stdout.write(as_json(findings) if options.json else as_table(findings))
    return 1 if has_failed(findings) else 0


def examine(*, url: str = "", is_quick: bool = False) -> Iterator[Finding]:
    """Try everything; where the settings cannot be read, nothing else can be tried."""
    try:
        settings = Settings()
    except ValidationError as error:
        for wrong in error.errors(include_input=False, include_url=False):
            name = "_".join(("potstill", *map(str, wrong["loc"]))).upper()
            yield Finding("settings", "failed", name, wrong["msg"])
        return
    yield Finding("settings", "ok", f"read, for {settings.environment}")
    yield from examine_database(settings)
    has_api, can_train = _is_installed("fastapi"), _is_installed("torch")
    yield examine_broker(settings)
    yield from examine_objects(settings, has_api=has_api)
    yield examine_disk(settings, can_train=can_train)
    yield from examine_api(settings, url=url, has_api=has_api)
    yield examine_traces(os.environ)
    if not is_quick:
        yield from examine_torch(settings, can_train=can_train)


def _is_installed(package: str) -> bool:
    """Tell whether what needs `package` can run here: the API's image has no torch, and so on."""
    return importlib.util.find_spec(package) is not None


if __name__ == "__main__":
    logging.disable()  # what libraries say may hold an address
    sys.exit(main())
