"""`fsar list`: everything there is, at once and without torch."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from fsar_core.__main__ import main
from fsar_core.components import registry
from fsar_core.config import read_yaml
from fsar_core.errors import FsarError

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = ROOT / "workflow"
HEADINGS = {
    "backbones": "backbones",
    "heads": "heads",
    "matching": "matching metrics",
    "instance_masks": "mask providers",
}


def sections(text: str) -> dict[str, dict[str, str]]:
    """heading -> name -> what is said of it."""
    found: dict[str, dict[str, str]] = {}
    heading = ""
    for line in text.splitlines():
        if line.startswith("  "):
            name, _, said = line.strip().partition(" ")
            found[heading][name] = said.strip()
        else:
            heading = line.removesuffix(":")
            found[heading] = {}
    return found


def expected() -> dict[str, dict[str, str]]:
    cards = sorted((WORKFLOW / "datasets").glob("*/card.yaml"))
    wanted = {"data sets": {path.parent.name: read_yaml(path)["title"] for path in cards}}
    for kind, heading in HEADINGS.items():
        wanted[heading] = {
            name: registry.entry(kind, name).summary for name in registry.names(kind)
        }
    for kind in ("tables", "figures"):
        wanted[kind] = {
            path.stem: read_yaml(path)["title"] for path in sorted((WORKFLOW / kind).glob("*.yaml"))
        }
    return {heading: entries or {"(none)": ""} for heading, entries in wanted.items()}


def test_it_prints_every_entry_with_its_summary(capsys):
    assert main(["list", "--workflow", str(WORKFLOW)]) == 0
    printed = sections(capsys.readouterr().out)
    assert printed == expected()
    assert list(printed) == ["data sets", *HEADINGS.values(), "tables", "figures"]
    assert {"demo_spatial", "demo_temporal"} <= set(printed["data sets"])
    assert {"otam", "bimhm", "trx", "sca", "prototype"} <= set(printed["matching metrics"])
    assert "dmgal_table2" in printed["tables"]


def test_every_entry_says_something():
    for heading, entries in expected().items():
        for name, said in entries.items():
            assert name == "(none)" or len(said) > 5, f"{heading}: {name}"


def test_it_takes_less_than_two_seconds_and_no_torch():
    """Processor time, which other programs of the machine do not lengthen."""
    code = (
        "import sys; from fsar_core.__main__ import main; status = main(['list', '--workflow', sys.argv[1]]);"
        "sys.exit('torch was imported' if 'torch' in sys.modules else status)"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", code, str(WORKFLOW)], capture_output=True, text=True, timeout=60
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (done.returncode, done.stderr) == (0, "")
    assert after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime < 2


def test_the_module_prints_the_same():
    done = subprocess.run(
        [sys.executable, "-m", "fsar_core", "list"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sections(done.stdout) == expected()


@pytest.mark.parametrize(
    ("content", "said"),
    [("title: My table\n", "My table"), ("", ""), ("- a\n", ""), ("a: 1\n", "")],
)
def test_a_new_table_is_listed(tmp_path, capsys, content, said):
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "x_table1.yaml").write_text(content, encoding="utf-8")
    assert main(["list", "--workflow", str(tmp_path)]) == 0
    printed = sections(capsys.readouterr().out)
    assert printed["tables"] == {"x_table1": said}
    assert printed["data sets"] == printed["figures"] == {"(none)": ""}


def test_a_broken_card_is_told(tmp_path, capsys):
    (tmp_path / "datasets" / "x").mkdir(parents=True)
    (tmp_path / "datasets" / "x" / "card.yaml").write_text("titel: X\n", encoding="utf-8")
    assert main(["list", "--workflow", str(tmp_path)]) == 2
    assert capsys.readouterr().err.endswith(
        "card.yaml: unknown key 'titel'; did you mean 'title'?\n"
    )


def test_a_component_without_its_class_is_told(monkeypatch, capsys):
    def entry(kind, name):
        raise FsarError(f"{name} is odd")

    monkeypatch.setattr(registry, "entry", entry)
    assert main(["list", "--workflow", str(WORKFLOW)]) == 2
    assert capsys.readouterr().err == f"fsar: error: {registry.names('backbones')[0]} is odd\n"
