"""docs/config.md: what may stand where."""

from __future__ import annotations

import pytest

from fsar_core.documentation.config_page import page


def rows(section: str) -> dict[str, list[str]]:
    """key -> the other cells, of a section's table."""
    text = page().split(f"# {section}\n", 1)[1].split("\n#", 1)[0]
    cells = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `")]
    return {key.strip("`"): rest for key, *rest in cells}


@pytest.mark.parametrize(
    ("section", "key", "kind", "default"),
    [
        ("config.yaml", "seed", "whole number ≥ -1,000,000,000,000, ≤ 1,000,000,000,000", "needed"),
        ("config.yaml", "presets", "by name: [Preset](#preset)", "needed"),
        ("Preset", "masks", "[Masks](#masks)", "its own"),
        ("Preset", "augmentation", "[AugmentationSpec](#augmentationspec) or null", "`null`"),
        ("Backbone", "dtype", "`float16`, `float32`", "`float16`"),
        ("Backbone", "train_tail", "true or false", "`false`"),
        ("Masks", "held_out", "number ≥ 0, < 1", "`0.1`"),
        ("Episodes", "train_shot", "`tested` or whole number ≥ 1, ≤ 1,000", "`tested`"),
        ("TrainingSpec", "milestones", "list of number ≥ 0, ≤ 1", "`[]`"),
        ("DemoVideos", "clips", "by name: whole number ≥ 1, ≤ 1,000,000", "needed"),
        ("Files", "roots", "list of text", "`[.]`"),
    ],
)
def test_a_key(section, key, kind, default):
    assert rows(section)[key][:2] == [kind, default]


def test_every_row_has_a_meaning():
    lines = [line for line in page().splitlines() if line.startswith("| `")]
    assert len(lines) > 100
    assert all(len(line.split(" | ")) == 4 and len(line.split(" | ")[3]) > 5 for line in lines)


def test_links_lead_to_sections():
    text = page()
    headings = {
        line.removeprefix("## ").lower() for line in text.splitlines() if line.startswith("## ")
    }
    import re

    assert set(re.findall(r"\]\(#(\w+)\)", text)) <= headings
