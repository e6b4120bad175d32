"""Addresses of this API, as they are written into answers."""

from kdstore.settings import Settings

# A server that listens everywhere cannot know under which name its clients reach it.
_WILDCARDS = frozenset({"", "0.0.0.0", "::"})  # noqa: S104  # compared with, never bound here


def url_of(settings: Settings, path: str) -> str:
    """Write the URL of `path`; just the path where no name of this server is known.

    The Host header is not asked: it is a stranger's text.
    """
    if not settings.public_url and settings.host in _WILDCARDS:
        return path
    return f"{settings.address}{path}"
