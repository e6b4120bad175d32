"""Which store a URL means, and how patiently it is asked."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, LocalStore, MemoryStore, S3Store, from_url

from kdstore.errors import StorageUnavailable

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

# Storage that drops a connection or answers 5xx is asked again, for half a minute at most. A wait
# is drawn from between the first one and three times the one before; ten last about 20 seconds.
# A large object may take long, as long as some of it keeps coming.
_CLIENT: "ClientConfig" = {
    "allow_http": True,  # only an endpoint that the operator wrote as http:// makes use of it
    "connect_timeout": timedelta(seconds=5),
    "read_timeout": timedelta(seconds=20),
    "timeout": timedelta(hours=1),
}
_RETRIES: "RetryConfig" = {
    "backoff": {
        "init_backoff": timedelta(seconds=0.2),
        "max_backoff": timedelta(seconds=5),
        "base": 3,
    },
    "max_retries": 10,
    "retry_timeout": timedelta(seconds=30),
}

Store = AzureStore | GCSStore | LocalStore | MemoryStore | S3Store


def open_store(url: str, *, endpoint: str | None = None) -> Store:
    """Open what `ObjectStore.from_url` says.

    Raises:
        StorageUnavailable: the URL cannot be opened, or not written.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        folder = Path(unquote(parts.path))
        folder.mkdir(parents=True, exist_ok=True)
        return LocalStore(folder)
    if parts.scheme == "memory":
        return MemoryStore()
    try:
        store = _open_cloud(url, endpoint)
    except BaseError as error:
        raise StorageUnavailable(
            f"POTSTILL_OBJECTS_URL with {parts.scheme}:// cannot be opened. Check it, and the "
            "variables that its cloud needs, such as AZURE_STORAGE_ACCOUNT_NAME.",
            key="",
        ) from error
    if not isinstance(store, AzureStore | GCSStore | S3Store):
        raise StorageUnavailable(
            f"POTSTILL_OBJECTS_URL names {parts.scheme}://, which cannot be written. "
            "Use file, s3, gs, or az.",
            key="",
        )
    return store


def _open_cloud(url: str, endpoint: str | None) -> object:
    if endpoint is None:
        return from_url(url, client_options=_CLIENT, retry_config=_RETRIES)
    return from_url(url, client_options=_CLIENT, retry_config=_RETRIES, endpoint=endpoint)
