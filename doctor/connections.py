"""Broker and object storage: each is used as the service uses it, and as its clients do."""

import secrets
import urllib.error
from collections.abc import Iterator

from doctor.addresses import FROM_ELSEWHERE, is_of_this_machine, read
from doctor.findings import Finding
from kdstore.errors import KdstoreError, StorageError
from kdstore.objects import ObjectStore
from kdstore.queue import make_celery
from kdstore.settings import Settings
from kdstore.signed_links import open_links

_TIMEOUT_SECONDS = 5.0
_PROBE = b"potstill doctor"
_LINK_ADVICE = (
    "Let POTSTILL_OBJECTS_PUBLIC_ENDPOINT name the same storage, with no proxy or one that passes "
    "the host on as it is; or set POTSTILL_SIGNED_LINKS=false."
)


def examine_broker(settings: Settings) -> Finding:
    """Open a channel, which Redis and RabbitMQ answer; no message is sent."""
    from kombu.exceptions import OperationalError  # noqa: PLC0415  # loaded with Celery

    try:
        with make_celery(settings).connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=_TIMEOUT_SECONDS)
            connection.channel().close()
            transport = str(connection.transport.driver_type)
    except (OperationalError, OSError, ImportError, ValueError) as error:
        return Finding(
            "broker",
            "failed",
            f"cannot be used ({type(error).__name__})",
            "Check POTSTILL_BROKER_URL and that the server runs. Jobs wait, and none is lost.",
        )
    return Finding("broker", "ok", f"{transport} answers")


def examine_objects(settings: Settings, *, has_api: bool) -> Iterator[Finding]:
    """Put, read and delete an object of our own; where an API is, also by a link for clients."""
    key = f"doctor/{secrets.token_hex(8)}"
    try:
        objects = ObjectStore.from_url(settings.objects)
        objects.put_bytes(key, _PROBE)
        is_same = objects.get_bytes(key) == _PROBE
        links = _examine_link(settings, objects, key) if has_api else None
        objects.delete(key)
    except (StorageError, KdstoreError, OSError) as error:
        yield Finding(
            "objects",
            "failed",
            f"cannot be put, read and deleted ({type(error).__name__})",
            "Check POTSTILL_OBJECTS_URL, its credentials, that the bucket exists, and its rights.",
        )
        return
    if is_same:
        yield Finding("objects", "ok", "put, read and deleted")
    else:
        yield Finding("objects", "failed", "other bytes come back", "Do not use this storage.")
    if links is not None:
        yield links


def _examine_link(settings: Settings, objects: ObjectStore, key: str) -> Finding:
    """Read an object as clients do: by a signed link, at the address that they are given."""
    links = open_links(settings, objects)
    if links is None:
        return Finding("links", "ok", "off: files go through the API")
    link = links.to_read(key)
    try:
        is_open = read(link) == _PROBE
    except urllib.error.HTTPError as error:
        return Finding("links", "failed", f"a signed link is refused ({error.code})", _LINK_ADVICE)
    except OSError as error:
        return _of_silent_link(link, error)
    if not is_open:
        return Finding("links", "failed", "a signed link gives other bytes", _LINK_ADVICE)
    return Finding("links", "ok", "a signed link works")


def _of_silent_link(link: str, error: OSError) -> Finding:
    if is_of_this_machine(link):
        return Finding(
            "links",
            "not here",
            "POTSTILL_OBJECTS_PUBLIC_ENDPOINT is for clients on the machine itself",
            "Try it there: `potstill download` goes by such links.",
        )
    return Finding(
        "links",
        "warning",
        f"a signed link does not work from here ({type(error).__name__})",
        f"{FROM_ELSEWHERE} Else: {_LINK_ADVICE}",
    )
