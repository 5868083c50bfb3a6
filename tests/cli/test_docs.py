"""`fsar docs`: what is generated is what is committed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MADE = [
    "docs/config.md",
    "docs/rules.md",
    "workflow/schemas/card.schema.yaml",
    "workflow/schemas/config.schema.yaml",
]


def docs(*words, cwd=ROOT):
    command = [sys.executable, "-m", "fsar_core", "docs", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)


def test_the_committed_files_are_what_the_code_says():
    done = docs("--check")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_a_file_that_has_drifted_is_named_and_written_again(tmp_path):
    for name in ("Snakefile", "config.yaml", "workflow", "docs", "envs"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    page = tmp_path / "docs" / "config.md"
    page.write_text(page.read_text() + "more\n")
    (tmp_path / MADE[2]).unlink()
    done = docs("--check", "--folder", str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.endswith(
        "docs/config.md: not what the code says; run `fsar docs` and commit what it writes\n"
    )
    assert (
        docs("--folder", str(tmp_path)).stdout
        == f"{page}: written\n{tmp_path / MADE[2]}: written\n"
    )
    for name in MADE:
        assert (tmp_path / name).read_text() == (ROOT / name).read_text()


def test_every_rule_says_what_it_does():
    lines = [
        line
        for line in (ROOT / "docs" / "rules.md").read_text().splitlines()
        if line.startswith("| `")
    ]
    assert len(lines) > 35
    for line in lines:
        assert len(line.split(" | ")[1]) > 15, line
    rules = {
        name
        for path in [ROOT / "Snakefile", *(ROOT / "workflow" / "rules").glob("*.smk")]
        for name in re.findall(
            r"^(?:rule (?=\w+:)|use rule \w+ as )(\w+)", path.read_text(), re.MULTILINE
        )
    }
    papers = {path.stem.split("_")[0] for path in (ROOT / "workflow" / "tables").glob("*.yaml")}
    generated = papers | {f"report_{paper}" for paper in papers}
    assert {re.match(r"\| `(\w+)`", line)[1] for line in lines} == rules | generated
