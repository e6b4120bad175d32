"""Routes of uploads."""

from collections.abc import AsyncIterator
from typing import Annotated

import anyio
from fastapi import APIRouter, Path
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from api.dependencies import MemberDependency, ViewerDependency, WriterDependency
from api.errors import BodyTooSlow, UploadsBusy
from api.idempotency import Created, CreatingRequestDependency
from api.openapi import errors_of
from api.replies import reply
from api.schemas import UploadId
from api.state import state_of
from api.uploads import service
from api.uploads.schemas import PartStored, UploadCreate, UploadRead
from kdstore.errors import (
    DigestMismatch,
    PartNumberInvalid,
    PartSizeMismatch,
    StorageUnavailable,
    UploadClosed,
    UploadIncomplete,
    UploadNotFound,
    UploadTooLarge,
)

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])

_MAX_PART_SECONDS = 1800.0

_RAW_BODY = {
    "requestBody": {
        "required": True,
        "description": "The bytes of this part, as they are.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.post(
    "",
    status_code=201,
    response_model=UploadRead,
    summary="Open an upload",
    responses=errors_of(UploadTooLarge, writes=True, creates=True, body=True),
)
def create_upload(
    wanted: UploadCreate,
    writer: WriterDependency,
    creating: CreatingRequestDependency,
    request: Request,
) -> Response:
    """Say what is coming; the answer lists the parts and where to PUT each."""

    def create() -> Created:
        upload = service.create(
            writer.session,
            workspace_id=writer.workspace_id,
            state=state_of(request),
            wanted=wanted,
        )
        return Created(201, upload, location=f"/v1/uploads/{upload.id}")

    return creating.answer(writer, create)


@router.get(
    "/{upload_id}",
    response_model=UploadRead,
    summary="Read an upload",
    responses=errors_of(UploadNotFound, StorageUnavailable),
)
def get_upload(upload_id: UploadId, viewer: ViewerDependency, request: Request) -> Response:
    """Tell which parts have arrived: an interrupted client goes on from there."""
    upload = service.read(state_of(request), workspace_id=viewer.workspace_id, upload_id=upload_id)
    return reply(request, upload)


@router.put(
    "/{upload_id}/parts/{number}",
    summary="Send one part",
    openapi_extra=_RAW_BODY,
    responses=errors_of(
        UploadNotFound,
        PartNumberInvalid,
        UploadClosed,
        PartSizeMismatch,
        BodyTooSlow,
        UploadsBusy,
        StorageUnavailable,
        writes=True,
    ),
)
async def put_part(
    upload_id: UploadId,
    number: Annotated[int, Path(ge=1, le=2**31 - 1, description="Number of the part, from 1.")],
    member: MemberDependency,
    request: Request,
) -> PartStored:
    """Take the raw bytes of one part. Order is free, and a part may be sent again.

    Where storage signs links, an upload's parts name those; this route works as well.
    """
    part = await service.take_part(
        state_of(request),
        workspace_id=member.workspace_id,
        upload_id=upload_id,
        number=number,
        chunks=_timed(request.stream()),
    )
    return PartStored(number=part.number, size_bytes=part.size_bytes, sha256=part.sha256)


@router.post(
    "/{upload_id}/complete",
    summary="Complete an upload",
    responses=errors_of(
        UploadNotFound,
        UploadClosed,
        UploadIncomplete,
        PartSizeMismatch,
        DigestMismatch,
        UploadsBusy,
        StorageUnavailable,
        writes=True,
    ),
)
async def complete_upload(
    upload_id: UploadId, member: MemberDependency, request: Request
) -> UploadRead:
    """Check size and sha256 over the whole and keep it; or say what is missing."""
    state = state_of(request)
    async with state.upload_slots.completions.one():
        return await run_in_threadpool(
            service.complete, state, workspace_id=member.workspace_id, upload_id=upload_id
        )


@router.delete(
    "/{upload_id}",
    status_code=204,
    summary="Abandon an upload",
    responses=errors_of(UploadNotFound, UploadClosed, StorageUnavailable, writes=True),
)
def abandon_upload(upload_id: UploadId, member: MemberDependency, request: Request) -> None:
    """Forget what has arrived. A stored upload stays: a model or dataset may refer to it."""
    service.abandon(state_of(request), workspace_id=member.workspace_id, upload_id=upload_id)


async def _timed(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Pass a body on, for a limited time in all: one byte a second keeps nothing open for ever."""
    deadline = anyio.current_time() + _MAX_PART_SECONDS
    while True:
        try:
            with anyio.fail_after(deadline - anyio.current_time()):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise BodyTooSlow(max_seconds=_MAX_PART_SECONDS) from None
        yield chunk
