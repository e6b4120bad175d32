"""Idempotency-Key: a request that is sent again gets the first answer again, once created."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Header
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api.dependencies import Writer
from kdstore import idempotency

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[!-~]{1,255}$",
        description="Any text of your own. Sent again with the same body, the first answer comes "
        "again and nothing is created twice.",
    ),
]


@dataclass(frozen=True)
class Created:
    """What a creating request answers. `remembered` is what a repeated request gets instead."""

    status: int
    body: BaseModel
    location: str
    remembered: BaseModel | None = None


@dataclass(frozen=True)
class CreatingRequest:
    """A POST that creates something, told apart from others by route and body."""

    key: str | None
    route: str
    body: bytes = field(repr=False)

    def answer(self, writer: Writer, create: Callable[[], Created]) -> Response:
        """Create and answer; or give the first answer again, if the key was used for it.

        Raises:
            IdempotencyConflict: the key was used for another route or body.
        """
        if self.key is None:
            return _response(create())
        before = idempotency.begin(
            writer.session,
            workspace_id=writer.workspace_id,
            key=self.key,
            route=self.route,
            body=self.body,
        )
        if before is not None:
            return _json(
                before.status, before.body, before.headers | {"Idempotency-Replayed": "true"}
            )
        created = create()
        kept = created.remembered or created.body
        idempotency.finish(
            writer.session,
            workspace_id=writer.workspace_id,
            key=self.key,
            answer=idempotency.Answer(
                status=created.status,
                body=kept.model_dump(mode="json"),
                headers={"Location": created.location},
            ),
        )
        return _response(created)


async def get_creating_request(
    request: Request, idempotency_key: IdempotencyKey = None
) -> CreatingRequest:
    """Read what tells this request from others; its body has been read already."""
    return CreatingRequest(
        key=idempotency_key,
        route=f"{request.method} {request.url.path}",
        body=await request.body(),
    )


def _response(created: Created) -> Response:
    body = created.body.model_dump(mode="json")
    return _json(created.status, body, {"Location": created.location})


def _json(status: int, body: object, headers: Mapping[str, str]) -> Response:
    return JSONResponse(
        body, status_code=status, headers=dict(headers) | {"Cache-Control": "no-store"}
    )


CreatingRequestDependency = Annotated[CreatingRequest, Depends(get_creating_request)]
