"""API keys as clients send and read them."""

from datetime import datetime

from pydantic import ConfigDict, Field

from api.schemas import Answer, JsonObject
from kdcore.spec.base import SpecModel
from kdstore.tables import Role

_EXAMPLE: JsonObject = {
    "id": "key_c7q4n9w1r3t6y8zvk2m5x0",
    "name": "training scripts",
    "role": "member",
    "created_at": "2026-07-01T12:00:00Z",
    "revoked_at": None,
}


class KeyCreate(SpecModel):
    """A key that is wanted."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "training scripts", "role": "member"}]}
    )

    name: str = Field(min_length=1, max_length=200, description="For people.")
    role: Role = Field(
        "member", description="viewer reads; member also writes; admin also manages keys."
    )

    @classmethod
    def _title(cls) -> str:
        return "a key"


class KeyRead(Answer):
    """A key, without its secret."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    id: str
    name: str
    role: Role
    created_at: datetime
    revoked_at: datetime | None


class KeyCreated(KeyRead):
    """A key that was just made, with its token, which is never shown again."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [_EXAMPLE | {"token": "potstill_c7q4n9w1r3t6y8zvk2m5x0_…"}]}
    )

    token: str | None = Field(
        description="Keep it now: only its hash is stored. null when this is the repeated answer "
        "to a request with an Idempotency-Key."
    )
