"""Uploads as clients send and read them."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator

from api.schemas import Answer, JsonObject
from kdcore.spec.base import SpecModel, problem
from kdstore.tables import UploadPurpose, UploadStatus

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

_UPLOAD_EXAMPLE: JsonObject = {
    "id": "upl_8k2m5x0c7q4n9w1r3t6y8z",
    "status": "pending",
    "purpose": "checkpoint",
    "filename": "teacher.safetensors",
    "size_bytes": 9_961_472,
    "sha256": None,
    "part_size_bytes": 8_388_608,
    "parts": [
        {
            "number": 1,
            "url": "https://potstill.example/v1/uploads/upl_8k2m5x0c7q4n9w1r3t6y8z/parts/1",
            "size_bytes": 8_388_608,
            "received": True,
            "sha256": "4f8b42c22dd3729b519ba6f68d2da7cc5b2d606d05daed5ad5128cc03e6c6358",
        },
        {
            "number": 2,
            "url": "https://potstill.example/v1/uploads/upl_8k2m5x0c7q4n9w1r3t6y8z/parts/2",
            "size_bytes": 1_572_864,
            "received": False,
            "sha256": None,
        },
    ],
    "created_at": "2026-07-01T12:00:00Z",
    "expires_at": "2026-07-02T12:00:00Z",
    "stored_at": None,
}


class UploadCreate(SpecModel):
    """A file that is about to be sent in parts."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "purpose": "checkpoint",
                    "filename": "teacher.safetensors",
                    "size_bytes": 9_961_472,
                }
            ]
        }
    )

    purpose: UploadPurpose = Field(description="What is to be made of it: a model or a dataset.")
    filename: str = Field(min_length=1, max_length=255, description="For people; no path.")
    size_bytes: int = Field(ge=1, le=2**53, description="Of the whole file.")
    sha256: Sha256 | None = Field(
        None, description="Of the whole file, in hex; checked when the upload is completed."
    )

    @model_validator(mode="after")
    def _check_filename(self) -> Self:
        if not self.filename.isprintable() or {"/", "\\"} & set(self.filename):
            raise problem(
                "filename_invalid",
                "Give the file's name alone, without folders and control characters.",
                field="filename",
            )
        return self

    @classmethod
    def _title(cls) -> str:
        return "an upload"


class PartRead(Answer):
    """One part: PUT its bytes to `url`, in any order, again if need be."""

    number: int = Field(description="From 1.")
    url: str = Field(
        description="A signed link into object storage where it can sign, valid as long as the "
        "upload is open: send it no key. Else a route of this API."
    )
    size_bytes: int = Field(description="How many bytes it must have.")
    received: bool
    sha256: str | None = Field(
        description="Of what has arrived; null before, and where it came by a signed link."
    )


class PartStored(Answer):
    """A part has arrived whole."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "number": 1,
                    "size_bytes": 8_388_608,
                    "sha256": "4f8b42c22dd3729b519ba6f68d2da7cc5b2d606d05daed5ad5128cc03e6c6358",
                }
            ]
        }
    )

    number: int
    size_bytes: int
    sha256: str


class UploadRead(Answer):
    """A file on its way in: which parts have arrived, and until when the rest may."""

    model_config = ConfigDict(json_schema_extra={"examples": [_UPLOAD_EXAMPLE]})

    id: str
    status: UploadStatus
    purpose: UploadPurpose
    filename: str
    size_bytes: int
    sha256: str | None = Field(description="As announced, or as found once it is stored.")
    part_size_bytes: int = Field(description="Of every part but the last.")
    parts: list[PartRead]
    created_at: datetime
    expires_at: datetime = Field(description="Unfinished, it is swept after this.")
    stored_at: datetime | None
