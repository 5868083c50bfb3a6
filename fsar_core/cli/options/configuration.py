"""Options that name the configuration, whose files are laid over one another as by snakemake."""

from __future__ import annotations

import argparse
from pathlib import Path

from fsar_core.config import Config, load_config, read_merged
from fsar_core.errors import FsarError, did_you_mean

USUAL = Path("config.yaml")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, default=USUAL)
    parser.add_argument(
        "--configfile",
        type=Path,
        nargs="+",
        default=[],
        help="laid over it in this order, as snakemake does",
    )


def load(args: argparse.Namespace) -> Config:
    if args.config == USUAL and not USUAL.exists():
        raise FsarError(
            f"{USUAL}: no such file; start fsar in the project's folder, or name the file with "
            f"--config"
        )
    files = [args.config, *args.configfile]
    return load_config(read_merged(files), " with ".join(map(str, files)))


def with_preset(config: Config, name: str) -> Config:
    """The configuration with another of its presets."""
    if name not in config.presets:
        raise FsarError(
            f"--preset: '{name}' is not among presets{did_you_mean(name, config.presets)}"
        )
    return config.model_copy(update={"preset": name})
