"""The API: where it listens here, and at the address that clients are given."""

import ipaddress
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from doctor.findings import Finding
from kdcore import __version__
from kdstore.settings import Settings

_TIMEOUT_SECONDS = 5.0
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104  # what others listen at

FROM_ELSEWHERE = "Nothing is wrong if clients reach it: containers often have no way out."
"""Why an address that does not answer here may be well."""


def examine_api(settings: Settings, *, url: str = "", has_api: bool) -> Iterator[Finding]:
    """Ask the API which release it is, where it listens and where clients reach it.

    `url` is asked alone, if given. Without it nothing is asked where no API is installed
    (`has_api`): workers need none, and may have no way to it.
    """
    if url:
        yield _of_api(_ask(url))
    elif not has_api:
        yield Finding("api", "not here", "no API is installed here, and workers need none")
    else:
        here = _ask(_listening(settings)) if settings.port else _Answer()
        outside = _ask(settings.public_url) if settings.public_url else _Answer()
        yield _of_api(here if here.version or not outside.version else outside)
        if settings.public_url:
            yield _of_public_url(outside, settings.public_url)


def is_of_this_machine(url: str) -> bool:
    """Tell whether a URL names whichever machine it is used on, such as 127.0.0.1."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read(url: str) -> bytes:
    """Read what a URL answers with. Raises OSError, which HTTPError is: somebody answers."""
    request = urllib.request.Request(url, headers={"Accept": "application/json"})  # noqa: S310  # an operator's own
    with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310  # the same
        body: bytes = answer.read()
    return body


@dataclass(frozen=True)
class _Answer:
    """The release that an API says it is, or why there is none."""

    version: str = ""
    error: str = "NoPort"
    is_answered: bool = False


def _ask(url: str) -> _Answer:
    try:
        return _Answer(version=str(json.loads(read(f"{url.rstrip('/')}/"))["version"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        is_answered = not isinstance(error, OSError) or isinstance(error, urllib.error.HTTPError)
        return _Answer(error=type(error).__name__, is_answered=is_answered)


def _listening(settings: Settings) -> str:
    return f"http://{_ANY_ADDRESS.get(settings.host, settings.host)}:{settings.port}"


def _of_api(answer: _Answer) -> Finding:
    if not answer.version:
        return Finding(
            "api",
            "failed",
            f"does not answer ({answer.error})",
            "Start it, or say where it is with --url.",
        )
    if answer.version != __version__:
        detail = f"is release {answer.version}, this is {__version__}"
        return Finding("api", "warning", detail, "Finish the roll-out of one of them.")
    return Finding("api", "ok", f"answers, release {answer.version}")


def _of_public_url(answer: _Answer, url: str) -> Finding:
    name = "public url"
    if answer.version:
        return Finding(name, "ok", "the API answers at POTSTILL_PUBLIC_URL")
    if is_of_this_machine(url) and not answer.is_answered:
        return Finding(
            name,
            "not here",
            "POTSTILL_PUBLIC_URL is for clients on the machine itself",
            "Try it there: curl $POTSTILL_PUBLIC_URL/healthz",
        )
    return Finding(
        name,
        "warning",
        f"the API does not answer from here at POTSTILL_PUBLIC_URL ({answer.error})",
        f"{FROM_ELSEWHERE} Else see to its name, its certificate and the proxy.",
    )
