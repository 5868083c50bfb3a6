"""docs/rules.md: of a small workflow, what is read of it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fsar_core.documentation import rules_page
from fsar_core.errors import FsarError

SNAKEFILE = '''# What this is,
# in two lines.
include: "rules/a.smk"


rule all:
    """Everything | here."""
    input:
        "a.1",
'''
RULES = '''# Of a.


rule make:
    """Makes
    one.
    """
    output:
        "a.{number,[0-9]{1,3}}",
        "b.{number}",
    threads: 4
    resources:
        gpu=1,
    shell:
        "touch {output}"


use rule make as remake with:
    """Again."""
    output:
        "c.{number}",
    threads: 1
    resources:
        gpu=0,
'''


def test_a_small_workflow(tmp_path):
    """In a process of its own: Snakemake sets loggers and signals."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    (tmp_path / "rules" / "a.smk").write_text(RULES)
    code = "import pathlib, sys; from fsar_core.documentation.rules_page import page; print(page(pathlib.Path(sys.argv[1])))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split(rules_page.HEAD)[1] == (
        "\n## rules/a.smk\n\nOf a.\n\n"
        "| rule | what it does | makes | environment | may use |\n|---|---|---|---|---|\n"
        "| `make` | Makes one. | `a.{number}`<br>`b.{number}` | - | threads, a GPU |\n"
        "| `remake` | Again. | `c.{number}` | - | - |\n\n"
        "## Snakefile\n\nWhat this is,\nin two lines.\n\n"
        "| target | what it asks for |\n|---|---|\n| `all` | Everything \\| here. |\n\n"
    )


def test_no_workflow(tmp_path):
    with pytest.raises(FsarError, match="Snakefile: no such file; run `fsar docs` in the folder"):
        rules_page.page(tmp_path)
