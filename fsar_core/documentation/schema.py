"""JSON schemas of config.yaml and of cards, for editors and for those who generate configurations.

They are made of the models that check these files, which stay the judges: a schema knows keys, types, ranges and choices, not
what goes together. A preset that `extends` another one has only the keys that differ, so it has a schema of its own.
"""

from __future__ import annotations

from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from fsar_core.config import Card, Config, Preset
from fsar_core.documentation import descriptions

SCHEMAS: dict[str, type[BaseModel]] = {"config": Config, "card": Card}
PARTIAL = "Partial"  # in front of the name of a definition without required keys


class _Described(GenerateJsonSchema):
    """With the comments beside the fields as descriptions."""

    def model_schema(self, schema):
        made, model = super().model_schema(schema), schema["cls"]
        if text := descriptions.of_model(model):
            made["description"] = text
        for name, text in descriptions.of_fields(model).items():
            if text and name in made.get("properties", {}):
                made["properties"][name] = {**made["properties"][name], "description": text}
        return made


def schema(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of a model's file."""
    made = model.model_json_schema(schema_generator=_Described)
    made = {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}
    if model is Config:
        _allow_extending(made)
    return made


def text(name: str) -> str:
    """The file workflow/schemas/<name>.schema.yaml."""
    head = "# Made by `fsar docs` of the models in fsar_core/config; do not edit.\n"
    return head + yaml.safe_dump(
        schema(SCHEMAS[name]), sort_keys=False, allow_unicode=True, width=120
    )


def _allow_extending(made: dict[str, Any]) -> None:
    """A preset is either whole or names the one that it extends."""
    whole, definitions = {"$ref": f"#/$defs/{Preset.__name__}"}, made["$defs"]
    for name in list(definitions):
        if definitions[name].get("type") == "object":
            definitions[PARTIAL + name] = {
                k: v for k, v in _partial(definitions[name]).items() if k != "required"
            }
    partial = definitions[f"{PARTIAL}{Preset.__name__}"]
    extends = {
        "description": "the preset whose keys are taken where none are named here",
        "type": "string",
    }
    partial["properties"] = {"extends": extends, **partial["properties"]}
    partial["required"] = ["extends"]
    chosen = {
        "if": {"required": ["extends"]},
        "then": {"$ref": f"#/$defs/{PARTIAL}{Preset.__name__}"},
        "else": whole,
    }
    made["properties"]["presets"]["additionalProperties"] = chosen
    used = _referred(made, made["$defs"])
    made["$defs"] = {name: definition for name, definition in definitions.items() if name in used}


def _partial(value: Any) -> Any:
    """The same schema with references to definitions without required keys."""
    if isinstance(value, dict):
        return {
            k: v.replace("#/$defs/", f"#/$defs/{PARTIAL}") if k == "$ref" else _partial(v)
            for k, v in value.items()
        }
    return [_partial(item) for item in value] if isinstance(value, list) else value


def _referred(value: Any, definitions: dict[str, Any], known: set[str] | None = None) -> set[str]:
    """Names of the definitions that something refers to, at whatever remove."""
    known = set() if known is None else known
    if isinstance(value, dict):
        name = str(value.get("$ref", "")).removeprefix("#/$defs/")
        if name and name not in known:
            known.add(name)
            _referred(definitions[name], definitions, known)
        for key, item in value.items():
            if key != "$defs":
                _referred(item, definitions, known)
    elif isinstance(value, list):
        for item in value:
            _referred(item, definitions, known)
    return known
