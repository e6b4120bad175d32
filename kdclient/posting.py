"""Requests that create something, and lists: the two patterns that all resources share."""

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from kdclient.resources import ItemT, Page
from kdclient.transport import Call, ModelT, Transport

_PAGE_SIZE = "100"


def post(transport: Transport, url: str, body: Mapping[str, Any], answer: type[ModelT]) -> ModelT:
    """Create something once, even if the request must be sent again."""
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    return transport.read(Call("POST", url, json=body, headers=headers), answer)


def read_list(
    transport: Transport,
    url: str,
    page_type: type[Page[ItemT]],
    *,
    params: Mapping[str, str] | None = None,
) -> Iterator[ItemT]:
    """Read a list page by page, as it is consumed."""
    query = {"limit": _PAGE_SIZE, **(params or {})}
    while True:
        page = transport.read(Call("GET", url, params=query), page_type)
        yield from page.items
        if page.next_cursor is None:
            return
        query["cursor"] = page.next_cursor
