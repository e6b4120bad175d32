"""What a dataset's reader and its decoders say to each other: a line of JSON each."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, TypeAdapter

from kdcore.data.streams import ArchiveEntry


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DecodeOrder(_Message):
    """Decode this image to that place of the shared pixels."""

    entry: ArchiveEntry
    offset: int = Field(ge=0)
    size_bytes: int = Field(description="Room for an image there; a larger one is not wanted.")


class Ready(_Message):
    """The decoder has loaded what it needs; said once, unasked."""

    type: Literal["ready"] = "ready"


class Decoded(_Message):
    """It is decoded, and its pixels are at their place if they have room there."""

    type: Literal["decoded"] = "decoded"
    shape_HWC: tuple[int, int, int]


class Undecodable(_Message):
    """It is no whole image."""

    type: Literal["undecodable"] = "undecodable"


class Refused(_Message):
    """The dataset is refused for it."""

    type: Literal["refused"] = "refused"
    code: str
    message: str
    entries: tuple[str, ...]


class TooMuchMemory(_Message):
    """It takes more memory than a decoder has."""

    type: Literal["too_much_memory"] = "too_much_memory"


DecoderAnswer = Decoded | Undecodable | Refused | TooMuchMemory
DECODER_MESSAGE: TypeAdapter[Ready | DecoderAnswer] = TypeAdapter(
    Annotated[Ready | DecoderAnswer, Discriminator("type")]
)
