"""What `verify`, `repair` and `clean` share: the configuration, laid over one another as snakemake does it."""

from __future__ import annotations

import argparse
from pathlib import Path

from fsar_core.config import Config, load_config, overlay, read_yaml
from fsar_core.errors import FsarError


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, default=Path("config.yaml"))
    parser.add_argument(
        "--configfile", type=Path, nargs="+", default=[], help="laid over it in this order, as snakemake does"
    )


def load(args: argparse.Namespace) -> Config:
    merged = {}
    for path in (args.config, *args.configfile):
        value = read_yaml(path)
        if not isinstance(value, dict):
            raise FsarError(f"{path}: expected keys and values, as in config.yaml")
        merged = overlay(merged, value)
    return load_config(merged, " with ".join(map(str, (args.config, *args.configfile))))
