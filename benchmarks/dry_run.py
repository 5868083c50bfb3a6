"""How long Snakemake takes to plan everything: all tables and figures on the five data sets in the preset `paper`.

    python benchmarks/dry_run.py [--repeats 3] [--limit 60] [TARGET ...]

From nothing: a copy of the workflow in a temporary folder, split lists with the cards' numbers of classes and clips, empty
folders in place of the videos, an empty file in place of SEEM's weights. Prints jobs by rule and the seconds of every repeat;
with --limit the exit status is 1 where the fastest one takes longer.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fsar_core.config import Card, load
from fsar_core.data import splits, stand_in

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "benchmarks" / "five_data_sets.yaml"


def lay_out(folder: Path) -> None:
    """The workflow and what stands in for the data."""
    for name in ("Snakefile", "config.yaml"):
        shutil.copy(ROOT / name, folder / name)
    for name in ("workflow", "envs", "profiles"):
        shutil.copytree(ROOT / name, folder / name)
    for file in sorted((folder / "workflow" / "datasets").glob("*/card.yaml")):
        card = load(Card, file)
        if card.generator is None:
            splits.write(file.with_name("split.tsv"), stand_in.entries(card, str(file)))
            (folder / "data" / card.folder).mkdir(parents=True, exist_ok=True)
    (folder / "weights").mkdir()
    (folder / "weights" / "seem_focalt_v1.pt").touch()


def plan(folder: Path, targets: list[str]) -> tuple[float, str]:
    """Seconds of a dry run, and what it printed."""
    front = Path(sys.executable).parent / "snakemake"
    command = [
        front,
        "--cores",
        "32",
        "--resources",
        "gpu=4",
        "--configfile",
        CONFIG,
        "-n",
        "-q",
        "rules",
        "--",
        *targets,
    ]
    started = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return time.perf_counter() - started, done.stdout + done.stderr


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", default=["tables", "figures"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--limit", type=float, help="seconds that the fastest repeat may take")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        lay_out(Path(name))
        runs = [plan(Path(name), args.targets) for _ in range(args.repeats)]
    counts = re.findall(r"^(\w+) +(\d+)$", runs[0][1], re.MULTILINE)
    print("\n".join(f"{rule:20} {count:>6}" for rule, count in counts))
    times = [seconds for seconds, _ in runs]
    print(f"seconds: {', '.join(f'{seconds:.1f}' for seconds in times)}")
    if args.limit is not None and min(times) > args.limit:
        sys.exit(f"the fastest takes {min(times):.1f} s, expected at most {args.limit:g}")


if __name__ == "__main__":
    main()
