"""How long it takes until something happens: `fsar list`, a `snakemake` that has nothing to do, the DAG of all papers' tables.

    python benchmarks/start_up.py [--repeats 3]

Run in the repository. The `snakemake` that has nothing to do is that of the smoke test's table, made before it is timed (a minute
or two, in a folder of its own).
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from _side_by_side import Line, seconds, short

REPOSITORY = Path(__file__).parents[1]
BIN = Path(sys.executable).parent


def run(*words: object) -> None:
    done = subprocess.run(
        [str(word) for word in words], cwd=REPOSITORY, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(
            f"{' '.join(map(str, words))}: exit status {done.returncode}\n{done.stderr[-2000:]}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as made, tempfile.TemporaryDirectory() as empty:
        snakemake = [BIN / "snakemake", "--snakefile", REPOSITORY / "Snakefile", "--cores", 2]
        snakemake += ["--workflow-profile", REPOSITORY / "profiles" / "default", "--directory"]
        toy = [*snakemake, made, "--configfile", REPOSITORY / "tests/workflow/smoke.yaml", "--"]
        commands = {
            "`fsar list`": ([BIN / "fsar", "list"], "at most 2"),
            "`snakemake` with nothing to do": ([*toy, "results/tables/table2.csv"], "at most 10"),
            "DAG of all papers' tables and figures (`snakemake -n`)": (
                [*snakemake, empty, "--dry-run", "--quiet", "all", "--", "dmgal", "i2st", "sgtm"],
                "at most 30",
            ),
        }
        for what, (command, goal) in commands.items():
            run(*command)
            times = [seconds(lambda command=command: run(*command)) for _ in range(args.repeats)]
            Line(what, f"{short(statistics.median(times))} s", "", "", times, goal).show()


if __name__ == "__main__":
    main()
