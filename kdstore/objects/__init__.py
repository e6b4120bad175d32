"""Object storage over obstore: a local folder, memory, S3, GCS or Azure, chosen by URL alone."""

from kdstore.objects.store import Attributes, ListedObject, ObjectHead, ObjectStore

__all__ = ["Attributes", "ListedObject", "ObjectHead", "ObjectStore"]
