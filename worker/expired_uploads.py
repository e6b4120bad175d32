"""Uploads that were not completed in time: closed, and what came of them deleted."""

from kdstore import upload_bytes, uploads
from kdstore.db import transaction
from worker.runtime import Runtime


def close_expired_uploads(runtime: Runtime) -> None:
    """Close one expired upload after the other, and delete its parts, until the worker stops.

    Raises:
        StorageError: storage is away; the parts of the one closed last are left as orphans.
    """
    while not runtime.stopping.is_set():
        with transaction(runtime.session_factory) as session:
            expired = uploads.sweep_expired(session, limit=1)
        if not expired:
            return
        upload_bytes.delete_parts(runtime.objects, expired[0])
