"""The JSON schemas accept what ships and refuse mistakes, as the models do."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import yaml

from fsar_core.config import Card, Config, overlay
from fsar_core.documentation.schema import SCHEMAS, schema

ROOT = Path(__file__).resolve().parents[2]
CARDS = sorted((ROOT / "workflow" / "datasets").glob("*/card.yaml"))


def read(path: Path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def errors(model, value) -> list[str]:
    return [
        error.message for error in jsonschema.Draft202012Validator(schema(model)).iter_errors(value)
    ]


@pytest.mark.parametrize("name", SCHEMAS)
def test_they_are_schemas(name):
    jsonschema.Draft202012Validator.check_schema(schema(SCHEMAS[name]))


def test_the_shipped_files_are_valid():
    assert errors(Config, read(ROOT / "config.yaml")) == []
    assert len(CARDS) >= 8
    for path in CARDS:
        assert errors(Card, read(path)) == [], path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sed": 1}, "'sed' was unexpected"),
        ({"seed": "one"}, "'one' is not of type 'integer'"),
        ({"presets": {"demo": {"frames": {"count": 1}}}}, "1 is less than the minimum of 2"),
        ({"presets": {"demo": {"training": {"lr": "1e-3"}}}}, "'1e-3' is not of type 'number'"),
        ({"presets": {"demo": {"backbone": {"cutt": "layer4"}}}}, "'cutt' was unexpected"),
        (
            {"presets": {"paper_finetuned": {"training": {"optimizer": "adan"}}}},
            "'adan' is not one of",
        ),
        ({"presets": {"paper_finetuned": {"backbone": {"cutt": "x"}}}}, "'cutt' was unexpected"),
    ],
)
def test_a_mistake_is_refused(change, said):
    found = errors(Config, overlay(read(ROOT / "config.yaml"), change))
    assert len(found) == 1
    assert said in found[0]


def test_a_preset_is_whole_or_extends_another():
    """Only one that extends may leave keys out."""
    raw = read(ROOT / "config.yaml")
    assert (
        errors(
            Config, raw | {"presets": {"demo": raw["presets"]["demo"], "mine": {"extends": "demo"}}}
        )
        == []
    )
    found = errors(Config, raw | {"presets": {"mine": {"training": {"lr": 0.1}}}})
    assert "'frames' is a required property" in found
    assert errors(Config, {k: v for k, v in raw.items() if k != "seed"}) == [
        "'seed' is a required property"
    ]


def test_comments_are_descriptions():
    made = schema(Config)
    assert made["properties"]["seed"]["description"] == "all random draws derive from it"
    assert made["$defs"]["Frames"]["properties"]["count"]["description"] == "frames taken of a clip"
    assert made["$defs"]["PartialFrames"]["properties"]["count"]["minimum"] == 2
    assert "required" not in made["$defs"]["PartialFrames"]


def test_nothing_is_defined_in_vain():
    for model in SCHEMAS.values():
        made = schema(model)
        text = yaml.safe_dump(made)
        assert all(
            f"#/$defs/{name}'" in text or f"#/$defs/{name}\n" in text for name in made["$defs"]
        )
