"""Signed links: clients read and write objects at the storage itself, past the API."""

from kdstore.objects import ObjectStore
from kdstore.settings import Settings

_READ_SECONDS = 900
# S3 signs for seven days at most.
_LONGEST_SECONDS = 7 * 24 * 3600


class SignedLinks:
    """Makes links into object storage that work for a while without any other right."""

    def __init__(self, signer: ObjectStore, *, write_seconds: int) -> None:
        self._signer = signer
        self._write_seconds = min(write_seconds, _LONGEST_SECONDS)

    def to_read(self, key: str) -> str:
        """Make a link that reads one object. Raises StorageUnavailable."""
        return self._signer.sign_get(key, expires_seconds=_READ_SECONDS)

    def to_write(self, key: str) -> str:
        """Make a link that writes one object, as long as an upload is kept open.

        Raises:
            StorageUnavailable: there are no credentials to sign with.
        """
        return self._signer.sign_put(key, expires_seconds=self._write_seconds)


def open_links(settings: Settings, objects: ObjectStore) -> SignedLinks | None:
    """Open what makes links; None where storage cannot sign, or the operator wants none."""
    if not settings.signed_links or not objects.can_sign:
        return None
    signer = objects
    if settings.objects_public_endpoint:
        signer = ObjectStore.from_url(
            settings.objects, endpoint=settings.objects_public_endpoint.rstrip("/")
        )
    return SignedLinks(signer, write_seconds=settings.upload_expiry_seconds)
