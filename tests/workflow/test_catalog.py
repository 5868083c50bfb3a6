"""The file that the Snakemake workflow catalog reads."""

from __future__ import annotations

from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]


def test_it_says_what_holds():
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text(encoding="utf-8"))[
        "usage"
    ]
    assert set(usage) == {"mandatory-flags", "software-stack-deployment", "report"}
    assert set(usage["mandatory-flags"]) == {"desc", "flags"}
    # What the catalog looks for beside it.
    assert all(
        (ROOT / name).is_file() for name in ("README.md", "LICENSE", "Snakefile", "config.yaml")
    )
    rules = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "workflow" / "rules").glob("*.smk")
    )
    assert usage["software-stack-deployment"]["conda"] == ("conda:" in rules)
