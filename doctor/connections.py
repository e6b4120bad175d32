"""Broker, object storage and API: each is used as the service uses it."""

import json
import secrets
import urllib.error
import urllib.request

from doctor.findings import Finding
from kdcore import __version__
from kdstore.errors import KdstoreError, StorageError
from kdstore.objects import ObjectStore
from kdstore.queue import make_celery
from kdstore.settings import Settings

_TIMEOUT_SECONDS = 5.0
_PROBE = b"potstill doctor"
_LINK_SECONDS = 60


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


def examine_objects(settings: Settings) -> Finding:
    """Put, read, sign and delete an object of our own."""
    key = f"doctor/{secrets.token_hex(8)}"
    try:
        objects = ObjectStore.from_url(settings.objects)
        objects.put_bytes(key, _PROBE)
        is_same = objects.get_bytes(key) == _PROBE
        link = objects.sign_get(key, expires_seconds=_LINK_SECONDS) if objects.can_sign else None
        is_open = link is None or _read_link(link) == _PROBE
        objects.delete(key)
    except (StorageError, KdstoreError, OSError) as error:
        return Finding(
            "objects",
            "failed",
            f"cannot be put, read and deleted ({type(error).__name__})",
            "Check POTSTILL_OBJECTS_URL, its credentials, that the bucket exists, and its rights.",
        )
    if not is_same:
        return Finding("objects", "failed", "other bytes come back", "Do not use this storage.")
    if not is_open:
        return Finding(
            "objects",
            "warning",
            "work, but a signed link does not from here",
            "Set POTSTILL_OBJECTS_PUBLIC_ENDPOINT, or POTSTILL_SIGNED_LINKS=false.",
        )
    how = "put, read, signed and deleted" if link is not None else "put, read and deleted"
    return Finding("objects", "ok", how)


def examine_api(url: str) -> Finding:
    """Ask the API which release it is."""
    try:
        found = json.loads(_read(f"{url.rstrip('/')}/")).get("version")
    except (OSError, ValueError, AttributeError) as error:
        return Finding(
            "api",
            "failed",
            f"does not answer ({type(error).__name__})",
            "Start it, or say where it is with --url.",
        )
    if found != __version__:
        detail = f"is release {found}, this is {__version__}"
        return Finding("api", "warning", detail, "Finish the roll-out of one of them.")
    return Finding("api", "ok", f"answers, release {found}")


def _read_link(url: str) -> bytes | None:
    try:
        return _read(url)
    except OSError:
        return None


def _read(url: str) -> bytes:
    request = urllib.request.Request(url, headers={"Accept": "application/json"})  # noqa: S310  # an operator's own
    with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310  # the same
        body: bytes = answer.read()
    return body
