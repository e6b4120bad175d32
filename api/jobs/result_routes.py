"""Routes to what a job made: report and artifacts."""

import json
from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from api.dependencies import STORAGE_TURN, Credentials, ReaderDependency, opened_reader
from api.downloads import serve
from api.errors import RangeUnsatisfiable
from api.jobs import examples, results
from api.jobs.schemas import ArtifactRead
from api.openapi import errors_of
from api.replies import reply, reply_bytes
from api.schemas import JobId, ListOf
from api.state import state_of
from kdcore.report import Report
from kdstore.errors import (
    ArtifactNotFound,
    JobNotFound,
    ReportNotFound,
    StorageUnavailable,
)

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["jobs"])

ArtifactName = Annotated[
    str, Path(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$", description="As the list says.")
]

Direct = Annotated[
    bool, Query(description="false: have the bytes from this API, even where storage signs links.")
]

_REPORT: dict[int | str, dict[str, object]] = {
    200: {"content": {"application/json": {"example": examples.REPORT}}}
}
_FILE: dict[int | str, dict[str, object]] = {
    200: {
        "description": "The file, with ETag, Content-Digest, and a file name of ours.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    },
    206: {"description": "The one range that was asked for."},
    304: {"description": "You have this file already."},
    307: {"description": "The file is at this signed link into object storage, for a while."},
}
_FILE_ERRORS = errors_of(ArtifactNotFound, RangeUnsatisfiable, StorageUnavailable) | _FILE


@router.get(
    "/report",
    response_model=Report,
    summary="Read a job's report",
    responses=errors_of(JobNotFound, ReportNotFound) | _REPORT,
)
def get_job_report(job_id: JobId, reader: ReaderDependency, request: Request) -> Response:
    """Give what each network scores, weighs and costs, and what the teacher was worth."""
    body = results.read_report(reader.session, workspace_id=reader.workspace_id, job_id=job_id)
    return reply_bytes(request, json.dumps(body).encode())


@router.get(
    "/artifacts",
    response_model=ListOf[ArtifactRead],
    summary="List a job's files",
    responses=errors_of(JobNotFound),
)
def list_job_artifacts(job_id: JobId, reader: ReaderDependency, request: Request) -> Response:
    """List the files that a job made, by name; none before it has succeeded."""
    files = results.read_artifacts(
        reader.session,
        workspace_id=reader.workspace_id,
        settings=state_of(request).settings,
        job_id=job_id,
    )
    return reply(request, files)


@router.get(
    "/artifacts/{name}",
    response_class=Response,
    summary="Download a file",
    responses=_FILE_ERRORS,
    dependencies=[STORAGE_TURN],
)
def get_job_artifact(
    job_id: JobId,
    name: ArtifactName,
    credentials: Credentials,
    request: Request,
    *,
    direct: Direct = True,
) -> Response:
    """Give a file, whole or one range of it. Several ranges are answered by the whole file.

    Where object storage can sign links, the answer is a redirect (307) to the file there.
    """
    with opened_reader(request, credentials) as reader:
        file = results.find_artifact(
            reader.session, workspace_id=reader.workspace_id, job_id=job_id, name=name
        )
    state = state_of(request)
    return serve(request, state.objects, file, links=state.links if direct else None)


@router.head(
    "/artifacts/{name}",
    response_class=Response,
    summary="Ask about a file",
    responses=_FILE_ERRORS,
    dependencies=[STORAGE_TURN],
)
def head_job_artifact(
    job_id: JobId,
    name: ArtifactName,
    credentials: Credentials,
    request: Request,
) -> Response:
    """Give the headers of a file: size, ETag, digest."""
    return get_job_artifact(job_id, name, credentials, request)
