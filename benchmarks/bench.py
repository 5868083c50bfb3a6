"""All benchmarks, one table: `make bench`, at most 20 minutes on 2 cores.

    python benchmarks/bench.py [PART ...]      # parts: start_up, frame_store, features, reading, episodes, training, dmgal

Every part is a script of its own with further options; README.md beside it says what was tried. A figure is a median over
repeats in which the two ways take turns; the ratio's smallest and largest value show how much to trust it.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from _side_by_side import HEADER

PARTS = {
    "start_up": [],
    "frame_store": ["--clips", "320", "--repeats", "2", "--table"],
    "features": [],
    "reading": [],
    "episodes": ["--repeats", "2"],
    "training": [],
    "dmgal": [],
}


def main() -> None:
    wanted = sys.argv[1:] or list(PARTS)
    if unknown := [name for name in wanted if name not in PARTS]:
        raise SystemExit(f"no part '{unknown[0]}'; valid: {', '.join(PARTS)}")
    started = time.monotonic()
    print(HEADER, flush=True)
    failed = []
    for name in wanted:
        script = Path(__file__).with_name(f"{name}.py")
        failed += [name] * bool(
            subprocess.run([sys.executable, script, *PARTS[name]], stderr=subprocess.DEVNULL).returncode
        )
    print(f"\n{(time.monotonic() - started) / 60:.0f} minutes")
    if failed:
        raise SystemExit(f"did not run through: {', '.join(failed)}; run it by itself to see why")


if __name__ == "__main__":
    main()
