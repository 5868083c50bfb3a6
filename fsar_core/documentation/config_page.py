"""docs/config.md: every key of config.yaml and of a card, with its type, default and meaning."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel

from fsar_core.config import Card, Config
from fsar_core.documentation import descriptions
from fsar_core.documentation.schema import schema

HEAD = """\
# The configuration

Made by `fsar docs` of the models in `fsar_core/config`; do not edit. What every key means is said in place in
[config.yaml](../config.yaml), too. Every key is checked before any job; one that is not listed here is refused. Editors can be
told to check while you write: `workflow/schemas/config.schema.yaml` and `card.schema.yaml`.
"""
INTRODUCTIONS = {
    Config: "`config.yaml`, and files that are laid over it (`snakemake --configfile mine.yaml`), which may leave any key out.",
    Card: "`workflow/datasets/<name>/card.yaml`: what a data set is, and how its clips are found.",
}
TITLES = {Config: "config.yaml", Card: "card.yaml"}


def page() -> str:
    """The whole page."""
    done: set[type[BaseModel]] = set()
    parts = [HEAD]
    for root, introduction in INTRODUCTIONS.items():
        parts.append(f"# {TITLES[root]}\n\n{introduction}\n\n{_table(root)}")
        parts += _sections(root, done)
    return "\n".join(parts)


def _sections(model: type[BaseModel], done: set[type[BaseModel]]) -> list[str]:
    """A section for every model below one, each once, in the order of the fields."""
    parts = []
    for field in model.model_fields.values():
        for part in _models(field.annotation):
            if part not in done:
                done.add(part)
                parts.append(
                    f"## {part.__name__}\n\n{descriptions.of_model(part)}\n\n{_table(part)}"
                )
                parts += _sections(part, done)
    return parts


def _table(model: type[BaseModel]) -> str:
    """A Markdown table of a model's keys."""
    properties, required = schema(model)["properties"], schema(model).get("required", [])
    lines = ["| key | what it may be | default | meaning |", "|---|---|---|---|"]
    for name, meaning in descriptions.of_fields(model).items():
        own = properties[name]
        default = "needed" if name in required else _default(own)
        lines.append(f"| `{name}` | {_kind(own)} | {default} | {_cell(meaning)} |")
    return "\n".join(lines) + "\n"


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models(argument)]


def _default(own: dict[str, Any]) -> str:
    """A section's defaults are told there."""
    return "its own" if "$ref" in own else f"`{_yaml(own.get('default'))}`"


def _kind(own: dict[str, Any]) -> str:
    """What a schema allows, for people."""
    if "$ref" in own:
        name = own["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in own:
        return " or ".join(_kind(choice) for choice in own["anyOf"])
    if "if" in own:
        return _kind(own["else"])
    if "const" in own:
        return f"`{_yaml(own['const'])}`"
    if "enum" in own:
        return ", ".join(f"`{_yaml(value)}`" for value in own["enum"])
    kind = own.get("type")
    if kind == "object" and own.get("additionalProperties"):
        inner = own["additionalProperties"]
        return f"by name: {_kind(inner)}" if isinstance(inner, dict) else "keys and values"
    if kind == "array":
        inside = own.get("items") or {"anyOf": own.get("prefixItems", [])}
        return f"list of {_kind(inside)}"
    names = {
        "integer": "whole number",
        "number": "number",
        "string": "text",
        "boolean": "true or false",
        "null": "null",
    }
    return _cell(" ".join([names.get(kind, "any value"), *_limits(own)]))


def _limits(own: dict[str, Any]) -> list[str]:
    words = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {own[key]:,.13g}" for key, sign in words.items() if key in own]
    return [", ".join(limits)] if limits else []


def _yaml(value: Any) -> str:
    """A short value as YAML writes it."""
    words = {None: "null", True: "true", False: "false"}
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_yaml, value)) + "]"
    return words[value] if value is None or isinstance(value, bool) else str(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
