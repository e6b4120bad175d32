"""A published source, as the catalog cites it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Paper:
    """Where an architecture or a method was published."""

    authors: str
    title: str
    year: int
    url: str
    """The arXiv page, or the publisher's by DOI."""
