"""The base of answers and of lists. Answers have no defaults, so OpenAPI calls them required."""

from typing import Annotated, Any, Generic, TypeVar

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict

# A JSON document whose meaning is kdcore's; here it is only passed on, hence Any.
JsonObject = dict[str, Any]

MAX_LIST_ITEMS = 200

Limit = Annotated[int, Query(ge=1, le=MAX_LIST_ITEMS, description="Most items of one answer.")]
Cursor = Annotated[
    str | None, Query(max_length=256, description="The `next_cursor` of the answer before.")
]

_ID = r"^[A-Za-z0-9_-]{1,64}$"

JobId = Annotated[str, Path(pattern=_ID, description="Id of a job: `job_…`.")]
ModelId = Annotated[str, Path(pattern=_ID, description="Id of a model: `mdl_…`.")]
DatasetId = Annotated[
    str, Path(pattern=_ID, description="Id of a dataset, `dts_…`, or a built-in's name.")
]
UploadId = Annotated[str, Path(pattern=_ID, description="Id of an upload: `upl_…`.")]
KeyId = Annotated[str, Path(pattern=_ID, description="Id of a key: `key_…`.")]


class Answer(BaseModel):
    """What a client reads. Fields may be added; none here is ever left out."""

    model_config = ConfigDict(frozen=True, extra="forbid")


ItemT = TypeVar("ItemT", bound=BaseModel)


class ListOf(Answer, Generic[ItemT]):
    """One page of a list; `next_cursor` asks for the items after, and is null at the end."""

    items: list[ItemT]
    next_cursor: str | None


class RejectionRead(Answer):
    """Why an upload was refused for good."""

    code: str
    message: str
    details: list[str]
