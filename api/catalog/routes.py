"""Routes of what can be asked for."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.catalog import service
from api.catalog.schemas import ArchitectureRead, MethodRead
from api.dependencies import ReaderDependency
from api.openapi import errors_of
from api.replies import reply
from api.schemas import ListOf

router = APIRouter(prefix="/v1", tags=["catalog"])


@router.get(
    "/architectures",
    response_model=ListOf[ArchitectureRead],
    summary="List architectures",
    responses=errors_of(),
)
def list_architectures(_reader: ReaderDependency, request: Request) -> Response:
    """List the networks that can be built, each with its JSON Schema, limits and paper."""
    return reply(request, service.list_architectures())


@router.get(
    "/methods",
    response_model=ListOf[MethodRead],
    summary="List methods",
    responses=errors_of(),
)
def list_methods(_reader: ReaderDependency, request: Request) -> Response:
    """List distillation methods, each with its formula, JSON Schema, needs, stages and paper."""
    return reply(request, service.list_methods())
