"""values.schema.json: by hand, but for `config`, which is made from the typed settings."""

import json
from pathlib import Path
from typing import Any, Final

from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from vecguard.config import Settings

TARGET: Final = Path(__file__).parent / "vecguard" / "values.schema.json"
#: Of no use to Helm: pydantic's own titles, and defaults that docs/configuration.md lists.
_LEFT_OUT: Final = frozenset(("title", "default"))
_HIDDEN: Final = "hidden"


class _SettingsSchema(GenerateJsonSchema):
    """Marks the settings that are secret, the only ones that pydantic cannot describe."""

    def handle_invalid_for_json_schema(
        self, schema: core_schema.CoreSchema, error_info: str
    ) -> JsonSchemaValue:
        if schema["type"] == "function-plain":
            return {_HIDDEN: True}
        raise PydanticInvalidForJsonSchema(f"{error_info}: {schema['type']}")


def text() -> str:
    """The file as it should be."""
    schema = json.loads(TARGET.read_text())
    schema["$defs"]["config"] = settings_schema()
    return json.dumps(schema, indent=2) + "\n"


def settings_schema() -> dict[str, Any]:
    """What may stand in the settings file, without secrets: a ConfigMap is no place for them."""
    schema = Settings.model_json_schema(by_alias=True, schema_generator=_SettingsSchema)
    resolved: dict[str, Any] = _resolved(schema, schema.pop("$defs"))
    return resolved


def _resolved(value: Any, definitions: dict[str, Any]) -> Any:
    """The same schema without references to definitions of its own."""
    if isinstance(value, list):
        return [_resolved(each, definitions) for each in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        section = definitions[value["$ref"].removeprefix("#/$defs/")]
        # The description beside a reference is the one of this setting.
        return _resolved(section | {k: v for k, v in value.items() if k != "$ref"}, definitions)
    found = {k: v for k, v in value.items() if k not in _LEFT_OUT}
    if "properties" in value:
        found["properties"] = {
            name: _resolved(each, definitions)
            for name, each in value["properties"].items()
            if _HIDDEN not in each
        }
        return found
    found = {k: _resolved(v, definitions) for k, v in found.items()}
    return _list_or_text(found) if found.get("type") == "array" else found


def _list_or_text(schema: dict[str, Any]) -> dict[str, Any]:
    """A list in the file may be one text with commas, which pydantic's schema does not say."""
    if "minLength" in schema:
        schema["minItems"] = schema.pop("minLength")
    description = {k: schema.pop(k) for k in ("description",) if k in schema}
    return description | {"anyOf": [schema, {"type": "string"}]}
