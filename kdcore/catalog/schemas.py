"""JSON Schemas of spec models, as one choice among several takes them."""

from typing import Any

from kdcore.spec.base import SpecModel


def schema_with_tag(spec: type[SpecModel], tag: str) -> dict[str, Any]:
    """Give the schema of `spec` with the field `tag` first, and required.

    Python code may leave the tag out, for the class says it; a document may not.
    """
    schema = spec.model_json_schema()
    others = [name for name in schema.get("required", []) if name != tag]
    properties = {tag: schema["properties"][tag], **schema["properties"]}
    return {**schema, "properties": properties, "required": [tag, *others]}
