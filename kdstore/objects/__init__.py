"""Object storage over obstore: a local folder, memory, S3, GCS or Azure, chosen by URL alone."""

from kdstore.objects.checks import Check, go_on
from kdstore.objects.store import Attributes, ListedObject, ObjectHead, ObjectStore

__all__ = ["Attributes", "Check", "ListedObject", "ObjectHead", "ObjectStore", "go_on"]
