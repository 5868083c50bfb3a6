"""Make a card and a class-disjoint split list for a folder of videos, class/clip.ext."""

from __future__ import annotations

import argparse
from pathlib import Path

from fsar_core.config import SPLITS, load_config
from fsar_core.data.cards import check_name
from fsar_core.data.new_dataset import link, name_of, propose, write_dataset
from fsar_core.errors import FsarError


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", type=Path, help="holds class/clip.ext, or class/clip/ with extracted frames"
    )
    parser.add_argument("--name", help="of the data set; default: the folder's name")
    for split in SPLITS:
        parser.add_argument(
            f"--{split}", nargs="+", metavar="CLASS", help=f"classes of {split}; default: by chance"
        )
    parser.add_argument("--flip", action="store_true", help="a mirrored clip keeps its class")
    parser.add_argument(
        "--spatial", action="store_true", help="objects and scene tell the classes apart, not time"
    )
    parser.add_argument(
        "--way",
        type=int,
        default=5,
        help="classes of an episode; val and test get as many if they can",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the proposed split")
    parser.add_argument("--config", type=Path, default=Path("config.yaml"))
    parser.add_argument("--workflow", type=Path, default=Path("workflow"))


def run(args: argparse.Namespace) -> None:
    name = check_name(name_of(args.folder) if args.name is None else args.name, "--name")
    target = args.workflow / "datasets" / name
    if (target / "card.yaml").exists():
        raise FsarError(
            f"{target}/card.yaml is there already; remove that folder, or choose another --name"
        )
    chosen = {split: getattr(args, split) for split in SPLITS if getattr(args, split)}
    proposal = propose(args.folder, chosen, args.way, args.seed)
    folder = link(args.folder, load_config(args.config).roots.data, name)
    write_dataset(target, proposal, folder, args.flip, args.spatial)
    behind = f"{{ssv2_small: {name}, ssv2_full: {name}}}"
    command = f"snakemake --cores 2 --config 'datasets={behind}' -- results/tables/table2.csv"
    print("\n".join(proposal.report()))
    print(f"written: {target}/card.yaml and split.tsv; edit them as you like, then")
    print(f"  {command}")
