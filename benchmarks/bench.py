"""All benchmarks, one table: `make bench`, at most 20 minutes on 2 cores.

    python benchmarks/bench.py [PART ...]      # parts: start_up, frame_store, features, reading, episodes, training, dmgal
    python benchmarks/bench.py --device cuda   # those that compute, on a GPU, with its limits

Every part is a script of its own with further options; README.md beside it says what was tried. A figure is a median over
repeats in which the two ways take turns; the ratio's smallest and largest value show how much to trust it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from _side_by_side import GPU_HEADER, HEADER, chosen

PARTS = {
    "start_up": [],
    "frame_store": ["--clips", "320", "--repeats", "2", "--table"],
    "features": [],
    "reading": [],
    "episodes": ["--repeats", "2"],
    "training": [],
    "dmgal": [],
}
ON_GPU = {
    "features": ["--clips", "1024", "--batch", "64"],
    "episodes": [],
    "training": [],
    "dmgal": ["--repeats", "3"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    args = parser.parse_args()
    on_gpu = args.device == "cuda"
    parts = (
        {name: [*words, "--device", "cuda"] for name, words in ON_GPU.items()} if on_gpu else PARTS
    )
    wanted = chosen(parser, args.parts, parts)
    started = time.monotonic()
    print(GPU_HEADER if on_gpu else HEADER, flush=True)
    failed = []
    for name in wanted:
        script = Path(__file__).with_name(f"{name}.py")
        failed += [name] * bool(
            subprocess.run(
                [sys.executable, script, *parts[name]], stderr=subprocess.DEVNULL
            ).returncode
        )
    print(f"\n{(time.monotonic() - started) / 60:.0f} minutes")
    if failed:
        raise SystemExit(f"did not run through: {', '.join(failed)}; run it by itself to see why")


if __name__ == "__main__":
    main()
