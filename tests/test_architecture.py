"""ARCHITECTURE.md and docs/design against the tree: paths, packages and links."""

import re
from pathlib import Path

import pytest

from tests.test_layers import PACKAGE, ROOT

GUIDE = ROOT / "ARCHITECTURE.md"
DOCUMENTS = [GUIDE, *sorted((ROOT / "docs" / "design").glob("*.md"))]
FOLDERS = (
    "fsar_core",
    "workflow",
    "tests",
    "docs",
    "profiles",
    "benchmarks",
    "envs",
    "config.yaml",
)
LONGEST = 140  # lines: two pages


def named_paths(text: str) -> list[str]:
    """Return the paths from the root that a document names in backquotes, without patterns."""
    names = re.findall(r"`([\w./-]+)`", text)
    return [
        name for name in names if name.split("/")[0] in FOLDERS and ("/" in name or "." in name)
    ]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_paths_exist(document):
    missing = [name for name in named_paths(document.read_text()) if not (ROOT / name).exists()]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_resolve(document):
    links = re.findall(r"\]\(([^)#:]+)\)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_every_design_note_is_linked():
    text = GUIDE.read_text()
    assert all(f"docs/design/{note.name}" in text for note in DOCUMENTS[1:])


def diagram() -> str:
    return GUIDE.read_text().split("## Layers")[1].split("```")[1]


def test_diagram_shows_every_package():
    packages = {path.parent.name for path in (ROOT / PACKAGE).glob("*/__init__.py")}
    shown = re.findall(r"\w+", diagram())
    assert packages - set(shown) == set()


def test_diagram_has_the_order_of_the_contracts():
    contract = re.search(
        r"^layers = \[\n(.*?)^\]", Path(ROOT / "pyproject.toml").read_text(), re.M | re.S
    )
    lines = [re.findall(r"\w+", line) for line in contract.group(1).splitlines()]
    existing = [[name for name in line if exists(name)] for line in lines]
    drawn = diagram().strip().splitlines()[1:]
    assert len(drawn) == len(existing)
    for row, names in zip(drawn, existing, strict=True):
        assert set(re.findall(r"\w+", row)[: len(names)]) == set(names)


def exists(name: str) -> bool:
    return (ROOT / PACKAGE / name).is_dir() or (ROOT / PACKAGE / f"{name}.py").exists()


def test_guide_is_two_pages():
    assert len(GUIDE.read_text().splitlines()) <= LONGEST


def test_named_paths():
    text = "`fsar_core/a.py`, `config.yaml`, `fsar`, `workflow/tables/<name>.yaml`"
    assert named_paths(text) == ["fsar_core/a.py", "config.yaml"]
