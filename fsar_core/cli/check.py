"""Validate config.yaml, every card and every table, and say what would be computed."""

from __future__ import annotations

import argparse
from pathlib import Path

from fsar_core.config import Card, load, load_config
from fsar_core.data.cards import card_file, card_names
from fsar_core.errors import FsarError
from fsar_core.study import Study


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, default=Path("config.yaml"))
    parser.add_argument("--workflow", type=Path, default=Path("workflow"))


def run(args: argparse.Namespace) -> None:
    study = Study(load_config(args.config), args.workflow)
    for name in card_names(args.workflow / "datasets"):
        load(Card, card_file(args.workflow / "datasets", name))
    for name in study.table_names:
        runs = {cell.run.run_id for cell in study.cells(name)}
        used = sorted({study.behind(dataset) for dataset in study.table(name).datasets})
        print(f"{name}: {len(runs)} runs" + (f" on {', '.join(used)}" if used else ""))
    try:
        study.check_mask_weights()
    except FsarError as error:  # needed by those alone who learn from masks
        print(f"not yet: {error}")
    print(f"{args.config}, cards and tables are valid; {len(study.runs)} different runs in all")
