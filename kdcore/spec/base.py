"""The base of every spec model: frozen, strict, and clear about fields that mean nothing."""

import difflib
import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

# `strict=False` on the outer tuple lets library users write lists; the elements stay strict.
Integers = Annotated[tuple[Annotated[int, Field(strict=True)], ...], Field(strict=False)]
Numbers = Annotated[tuple[Annotated[float, Field(strict=True)], ...], Field(strict=False)]
Names = Annotated[tuple[Annotated[str, Field(strict=True)], ...], Field(strict=False)]


def problem(code: str, message: str, *, field: str = "") -> PydanticCustomError:
    """Make a validation error with our own `code`, placed at `field` of the current model.

    `field` may be a path of several parts joined by "/".
    """
    # pydantic types both texts as LiteralString; braces would be read as placeholders.
    text: Any = "{text}"
    name: Any = code
    return PydanticCustomError(name, text, {"text": message, "field": field})


class SpecModel(BaseModel):
    """A frozen, strict description whose unknown fields are errors that name the known ones."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, validate_default=True
    )

    @model_validator(mode="before")
    @classmethod
    def _name_the_known_fields(cls, data: object) -> object:
        if not isinstance(data, Mapping):
            return data
        unknown = [key for key in data if key not in cls.model_fields]
        if unknown:
            raise problem("unknown_field", cls._unknown_field_message(unknown[0]), field=unknown[0])
        return data

    @classmethod
    def _unknown_field_message(cls, field: str) -> str:
        known = ", ".join(cls.model_fields)
        close = difflib.get_close_matches(field, cls.model_fields, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else "Remove it."
        return f"{field!r} means nothing for {cls._title()}. {hint} Its fields are: {known}."

    @classmethod
    def _title(cls) -> str:
        """What messages call this model: the fixed value of its discriminator, else its name."""
        for name in ("name", "architecture", "layer", "kind", "rule"):
            field = cls.model_fields.get(name)
            if field is not None and isinstance(field.default, str) and field.default:
                return field.default
        words = re.findall("[A-Z][a-z]*", cls.__name__.removesuffix("Spec"))
        return " ".join(words).lower()
