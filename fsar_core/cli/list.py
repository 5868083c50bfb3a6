"""Print every data set, backbone, head, matching metric, mask provider, table and figure."""

from __future__ import annotations

import argparse
from pathlib import Path

from fsar_core.components import registry
from fsar_core.data.cards import card_names

TITLES = {
    "backbones": "backbones",
    "heads": "heads",
    "matching": "matching metrics",
    "instance_masks": "mask providers",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workflow",
        type=Path,
        default=Path("workflow"),
        help="the folder with datasets/, tables/, figures/",
    )


def run(args: argparse.Namespace) -> None:
    from fsar_core.config import Card, load

    section(
        "data sets",
        [
            (n, load(Card, args.workflow / "datasets" / n / "card.yaml").title)
            for n in card_names(args.workflow / "datasets")
        ],
    )
    for kind, title in TITLES.items():
        entries = [registry.entry(kind, name) for name in registry.names(kind)]
        section(title, [(entry.name, entry.summary) for entry in entries])
    for kind in ("tables", "figures"):
        paths = sorted((args.workflow / kind).glob("*.yaml"))
        section(kind, [(path.stem, _title(path)) for path in paths])


def section(title: str, lines: list[tuple[str, str]]) -> None:
    print(f"{title}:")
    for name, text in lines or [("(none)", "")]:
        print(f"  {name:20} {text}".rstrip())


def _title(path: Path) -> str:
    from fsar_core.config import read_yaml

    value = read_yaml(path)
    return str(value.get("title", "")) if isinstance(value, dict) else ""
