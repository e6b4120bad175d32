"""The front page: what this is and where to go on."""

from fastapi import APIRouter
from pydantic import ConfigDict

from api.openapi import public_errors_of
from api.schemas import Answer
from kdcore import __version__

router = APIRouter(tags=["health"])


class Welcome(Answer):
    """Name, version, and addresses worth knowing."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "Potstill",
                    "version": "0.1.0",
                    "links": {"openapi": "/openapi.json", "jobs": "/v1/jobs"},
                }
            ]
        }
    )

    name: str
    version: str
    links: dict[str, str]


@router.get("/", summary="Say what this is", responses=public_errors_of())
async def read_root() -> Welcome:
    """Name the service, its version, and its main addresses."""
    return Welcome(
        name="Potstill",
        version=__version__,
        links={
            "openapi": "/openapi.json",
            "health": "/healthz",
            "readiness": "/readyz",
            "metrics": "/metrics",
            "architectures": "/v1/architectures",
            "methods": "/v1/methods",
            "models": "/v1/models",
            "datasets": "/v1/datasets",
            "jobs": "/v1/jobs",
            "keys": "/v1/keys",
            "workers": "/v1/workers",
        },
    )
