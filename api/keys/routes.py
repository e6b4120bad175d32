"""Routes of API keys; only admins may use them."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.dependencies import AdminReaderDependency, AdminWriterDependency
from api.idempotency import Created, CreatingRequestDependency
from api.keys import service
from api.keys.schemas import KeyCreate, KeyCreated, KeyRead
from api.openapi import errors_of
from api.replies import reply
from api.schemas import Cursor, KeyId, Limit, ListOf
from kdstore.errors import CursorInvalid, KeyNotFound

router = APIRouter(prefix="/v1/keys", tags=["keys"])


@router.post(
    "",
    status_code=201,
    response_model=KeyCreated,
    summary="Make a key",
    responses=errors_of(writes=True, creates=True, body=True),
)
def create_key(
    wanted: KeyCreate, writer: AdminWriterDependency, creating: CreatingRequestDependency
) -> Response:
    """Make a key for this workspace. Its token is in this answer and nowhere else."""

    def create() -> Created:
        key = service.create(writer.session, workspace_id=writer.workspace_id, wanted=wanted)
        return Created(
            201,
            key,
            location=f"/v1/keys/{key.id}",
            # The token is stored nowhere, so a repeated answer cannot have it.
            remembered=key.model_copy(update={"token": None}),
        )

    return creating.answer(writer, create)


@router.get(
    "",
    response_model=ListOf[KeyRead],
    summary="List keys",
    responses=errors_of(CursorInvalid, writes=True),
)
def list_keys(
    reader: AdminReaderDependency,
    request: Request,
    *,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List the workspace's keys, newest first, revoked ones too."""
    page = service.read_page(
        reader.session, workspace_id=reader.workspace_id, limit=limit, cursor=cursor
    )
    return reply(request, page)


@router.delete(
    "/{key_id}",
    summary="Revoke a key",
    responses=errors_of(KeyNotFound, writes=True),
)
def revoke_key(key_id: KeyId, writer: AdminWriterDependency) -> KeyRead:
    """End a key for good. Revoking it again changes nothing."""
    return service.revoke(writer.session, workspace_id=writer.workspace_id, key_id=key_id)
