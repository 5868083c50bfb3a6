"""Make a card and a class-disjoint split list for a folder of videos, class/clip.ext."""

from __future__ import annotations

import argparse
from pathlib import Path

import yaml

from fsar_core.config import SPLITS, Card, load_config, validate
from fsar_core.data import splits
from fsar_core.data.cards import check_name
from fsar_core.data.new_dataset import link, name_of, propose
from fsar_core.errors import FsarError
from fsar_core.storage.provenance import atomic_write


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="holds class/clip.ext, or class/clip/ with extracted frames")
    parser.add_argument("--name", help="of the data set; default: the folder's name")
    for split in SPLITS:
        parser.add_argument(f"--{split}", nargs="+", metavar="CLASS", help=f"classes of {split}; default: by chance")
    parser.add_argument("--flip", action="store_true", help="a mirrored clip keeps its class")
    parser.add_argument("--spatial", action="store_true", help="objects and scene tell the classes apart, not time")
    parser.add_argument(
        "--way", type=int, default=5, help="classes of an episode; val and test get as many if they can"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the proposed split")
    parser.add_argument("--config", type=Path, default=Path("config.yaml"))
    parser.add_argument("--workflow", type=Path, default=Path("workflow"))


def run(args: argparse.Namespace) -> None:
    name = check_name(name_of(args.folder) if args.name is None else args.name, "--name")
    target = args.workflow / "datasets" / name
    if (target / "card.yaml").exists():
        raise FsarError(f"{target}/card.yaml is there already; remove that folder, or choose another --name")
    proposal = propose(args.folder, {s: getattr(args, s) for s in SPLITS if getattr(args, s)}, args.way, args.seed)
    card = {
        "title": name,
        "source": "my own recordings",
        "citation": "none",
        "licence": "not stated",
        "modality": "spatial" if args.spatial else "temporal",
        "folder": link(args.folder, load_config(args.config).roots.data, name),
        "split": {"format": "split_tsv", "file": "split.tsv"},
        "flip": args.flip,
        "groups": proposal.sources is not None,
        "max_failures": 0.0,
    }
    splits.check(proposal.entries, validate(Card, card, str(target / "card.yaml")), target / "split.tsv")
    splits.write(target / "split.tsv", proposal.entries)
    with atomic_write(target / "card.yaml") as stream:
        yaml.safe_dump(card, stream, sort_keys=False, allow_unicode=True)
    print("\n".join([*proposal.report(), f"written: {target}/card.yaml and split.tsv; edit them as you like, then"]))
    behind = f"{{ssv2_small: {name}, ssv2_full: {name}}}"
    print(f"  snakemake --cores 2 --config 'datasets={behind}' -- results/tables/table2.csv")
