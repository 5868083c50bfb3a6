"""Validate config.yaml, every card, table and figure, and say what would be computed."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from pathlib import Path

from fsar_core.cli.options import configuration
from fsar_core.config import Card, load
from fsar_core.data.cards import card_file, card_names
from fsar_core.errors import FsarError
from fsar_core.study import Study
from fsar_core.study.checks.components import check_ways


def arguments(parser: argparse.ArgumentParser) -> None:
    configuration.arguments(parser)
    parser.add_argument("--workflow", type=Path, default=Path("workflow"))


def run(args: argparse.Namespace) -> None:
    study = Study(configuration.load(args), args.workflow)
    for name in card_names(args.workflow / "datasets"):
        load(Card, card_file(args.workflow / "datasets", name))
    for name in study.table_names:
        runs = {cell.run.run_id for cell in study.experiments.cells(name)}
        used = sorted({study.behind(dataset) for dataset in study.table(name).datasets})
        print(f"{name}: {_counted(runs)}" + (f" on {', '.join(used)}" if used else ""))
    for name in study.figure_names:
        runs = {
            shown.run.run_id: shown.run.tested_on.dataset
            for shown in (*study.experiments.points(name), *study.experiments.looks(name))
        }
        used = sorted(
            {*runs.values(), *(watch.saliency.dataset for watch in study.experiments.watches(name))}
        )
        print(f"{name}: {_counted(runs)} on {', '.join(used)}")
    check_ways(study)
    try:
        study.checks.check_mask_weights()
    except FsarError as error:  # needed by those alone who learn from masks
        print(f"not yet: {error}")
    files = " with ".join(map(str, (args.config, *args.configfile)))
    count = len(study.experiments.runs)
    print(
        f"{files}, cards, tables and figures are valid; preset {study.config.preset}, {count} "
        "different runs in all"
    )


def _counted(runs: Collection[str]) -> str:
    return f"{len(runs)} run{'s' if len(runs) > 1 else ''}" if runs else "no run"
