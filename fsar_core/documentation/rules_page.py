"""docs/rules.md: every rule of the workflow by file, with what it does, makes, needs and waits for, as Snakemake reads it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from fsar_core.errors import FsarError

HEAD = """\
# The rules

Made by `fsar docs` of the workflow as Snakemake reads it, under the shipped config.yaml; do not edit. Words in
`{braces}` stand for names that tables, figures and data sets give. A target is a rule that makes nothing itself:
`snakemake --cores 2 -- frames`.
"""
CONSTRAINED = re.compile(
    r"\{(\w+),[^{}]*(?:\{[^{}]*\}[^{}]*)*\}"
)  # a wildcard with what it may look like


def page(folder: Path) -> str:
    """The whole page, of the Snakefile in `folder`."""
    files: dict[str, list] = {}
    for rule in _rules(folder):
        files.setdefault(os.path.relpath(rule.snakefile, folder), []).append(rule)
    parts = [HEAD]
    for file, rules in files.items():
        parts.append(f"## {file}\n\n{_opening(folder / file)}\n")
        targets = [rule for rule in rules if not rule.output]
        if working := [rule for rule in rules if rule.output]:
            lines = [
                "| rule | what it does | makes | environment | may use |",
                "|---|---|---|---|---|",
            ]
            parts.append("\n".join([*lines, *map(_line, working)]) + "\n")
        if targets:
            lines = ["| target | what it asks for |", "|---|---|"]
            parts.append(
                "\n".join([*lines, *(f"| `{rule.name}` | {_said(rule)} |" for rule in targets)])
                + "\n"
            )
    return "\n".join(parts)


def _rules(folder: Path) -> list:
    """Snakemake's own view of the workflow."""
    from snakemake.api import SnakemakeApi
    from snakemake.settings.types import OutputSettings, Quietness, ResourceSettings

    snakefile = folder / "Snakefile"
    if not snakefile.is_file():
        raise FsarError(
            f"{snakefile}: no such file; run `fsar docs` in the folder of the Snakefile, or name it by --folder"
        )
    quiet = OutputSettings(quiet={Quietness.ALL})
    with SnakemakeApi(quiet) as api:
        workflow = api.workflow(
            resource_settings=ResourceSettings(),
            snakefile=snakefile.resolve(),
            workdir=folder.resolve(),
        )
        return list(workflow._workflow.rules)


def _line(rule) -> str:
    made = "<br>".join(f"`{_plain(str(path))}`" for path in rule.output)
    environment = Path(str(rule.conda_env)).stem if rule.conda_env else "-"
    asks = {"_cores": "threads", "gpu": "a GPU"}
    uses = [word for name, word in asks.items() if _asked(rule, name)]
    return f"| `{rule.name}` | {_said(rule)} | {made} | {environment} | {', '.join(uses) or '-'} |"


def _plain(path: str) -> str:
    return CONSTRAINED.sub(r"{\1}", path)


def _asked(rule, name: str) -> bool:
    value = rule.resources.get(name)
    value = getattr(value, "value", value)
    return callable(value) or (isinstance(value, int) and value > (1 if name == "_cores" else 0))


def _said(rule) -> str:
    return " ".join((rule.docstring or "").split()).replace("|", "\\|")


def _opening(file: Path) -> str:
    """The comment that a file begins with."""
    lines = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("#").strip())
    return "\n".join(lines)
