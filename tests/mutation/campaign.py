"""Plant mistakes in the package, one at a time, and see whether the tests notice. README.md says how to run it."""

from __future__ import annotations

import argparse
import csv
import json
import math
import random
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.mutation.mutants import Mutant, compiles, mutants
from tests.mutation.runner import ROOT, Copy, Result, Run, preload

KNOWN = Path(__file__).parent / "known.yaml"
COLUMNS = (
    "module",
    "line",
    "function",
    "operator",
    "before",
    "after",
    "outcome",
    "killed_by",
    "tests_run",
    "files",
    "seconds",
    "text",
)
KEY = ("module", "function", "text", "before", "after")
# Tests that no mirrored name and no call in the test's own process leads to: they run the code in other processes.
ALSO = {
    "fsar_core/cli/": ["tests/cli", "tests/test_main.py"],
    "fsar_core/data/isolation.py": ["tests/data/test_isolation.py", "tests/data/test_probing.py", "tests/hostile"],
    "fsar_core/data/decoding.py": ["tests/data/test_decoding.py", "tests/data/test_frame_store.py"],
    "fsar_core/heads/": ["tests/contract/test_heads.py"],
    "fsar_core/matching/": ["tests/contract/test_matching.py"],
    "fsar_core/instance_masks/": ["tests/contract/test_instance_masks.py"],
    "fsar_core/locks.py": ["tests/test_locks.py"],
    "fsar_core/launcher.py": ["tests/test_launcher.py"],
}


def main() -> None:
    arguments = parsed()
    out = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    known = {
        tuple(str(entry[name]) for name in KEY): entry["kind"] for entry in yaml.safe_load(KNOWN.read_text()) or []
    }
    chosen = sample(arguments.only, arguments.count, arguments.seed)
    results = read_results(out / "results.csv")
    due = [m for m in chosen if is_due(m, results, known, arguments.retry)]
    print(f"{len(chosen)} mutants chosen, {len(due)} to run")
    if due and not arguments.list:
        preload()
        with tempfile.TemporaryDirectory(prefix="fsar-mutation-") as folder:
            copies = [Copy(Path(folder, str(number))) for number in range(arguments.jobs)]
            baseline = measure(arguments.tests, copies, out)
            run_all(due, copies, baseline, arguments.budget, out)
    report(chosen, read_results(out / "results.csv"), known)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--count", type=int, default=300, help="mutants to sample; a larger count extends a smaller one"
    )
    parser.add_argument("--only", nargs="+", default=["fsar_core"], metavar="PATH", help="modules or folders")
    parser.add_argument("--tests", nargs="+", default=["tests"], metavar="PATH", help="test files or folders to use")
    parser.add_argument("--jobs", type=int, default=1, help="test runs at the same time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--budget", type=float, default=120, help="seconds of tests, unmutated, that one mutant may take"
    )
    parser.add_argument("--retry", action="store_true", help="run mutants that survived or timed out again")
    parser.add_argument("--list", action="store_true", help="report on earlier results and run nothing")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "mutation")
    return parser.parse_args()


def is_due(mutant: Mutant, results: dict[tuple, dict], known: dict[tuple, str], retry: bool) -> bool:
    if mutant.key in known:
        return False
    earlier = results.get(mutant.key)
    return earlier is None or (retry and earlier["outcome"] != "killed")


# Which mutants


def sample(only: list[str], count: int, seed: int) -> list[Mutant]:
    """A fixed selection: every folder gets a share that grows with the root of its mutants, every operator a turn."""
    modules = sorted({path for word in only for path in modules_below(ROOT / word)})
    strata: dict[str, list[Mutant]] = defaultdict(list)
    for path in modules:
        strata[str(path.parent)] += mutants(path, path.relative_to(ROOT).as_posix())
    ranked = []
    for name, members in strata.items():
        turns = in_turns(members, random.Random(f"{seed} {Path(name).relative_to(ROOT)}"))
        ranked += [((place + 0.5) / math.sqrt(len(members)), mutant) for place, mutant in enumerate(turns)]
    ranked.sort(key=lambda pair: (pair[0], pair[1].key))
    chosen: dict[tuple, Mutant] = {}
    for _, mutant in ranked:
        if len(chosen) == count:
            break
        if compiles(mutant.apply((ROOT / mutant.module).read_bytes())):
            chosen.setdefault(mutant.key, mutant)
    return list(chosen.values())


def modules_below(path: Path) -> list[Path]:
    if not path.exists():
        raise SystemExit(f"{path}: no such module or folder")
    return [path] if path.is_file() else list(path.rglob("*.py"))


def in_turns(members: list[Mutant], generator: random.Random) -> list[Mutant]:
    """Shuffled so that the operators take turns: rare kinds of mistakes are not lost among changed constants."""
    kinds: dict[str, list[Mutant]] = defaultdict(list)
    for mutant in generator.sample(members, len(members)):
        kinds[mutant.operator].append(mutant)
    places = [
        ((place + generator.random()) / len(kind) ** 0.5, m) for kind in kinds.values() for place, m in enumerate(kind)
    ]
    return [mutant for _, mutant in sorted(places, key=lambda pair: pair[0])]


# Which tests


@dataclass
class Baseline:
    """Test files that pass without a mutant: their seconds, and the functions of the package that they call."""

    seconds: dict[str, float]
    functions: dict[str, set[str]]

    def files_for(self, mutant: Mutant, budget: float) -> list[str]:
        """Test files for one mutant, the most specific first, until they take `budget` seconds without a mutant."""
        module, name = mutant.module, Path(mutant.module).stem.strip("_")
        folder = Path("tests", *Path(module).parts[1:-1])
        mirror = [str(folder / f"test_{name}.py"), str(folder / f"test_{folder.name}.py")]
        also = [file for prefix, files in ALSO.items() if module.startswith(prefix) for file in files]
        calling = self._calling(mutant)
        specific = [f for word in [*mirror, *also] for f in self.seconds if f == word or f.startswith(word + "/")]
        others = sorted(
            calling - set(specific), key=lambda file: (not file.startswith(str(folder)), self.seconds[file])
        )
        files, total = [], 0.0
        for file in dict.fromkeys([*specific, *others]):
            total += self.seconds[file]
            if not files or total <= budget:
                files.append(file)
        return files

    def _calling(self, mutant: Mutant) -> set[str]:
        """Files in which the mutant's function runs; for code at import, any function of the module."""
        prefix = f"{mutant.module}:"
        exact = {file for file, names in self.functions.items() if prefix + mutant.function in names}
        if "<locals>" in mutant.function or not mutant.function[0].isupper():
            at_import = mutant.function == "<module>"
        else:
            at_import = "." not in mutant.function
        if not at_import:
            return exact
        bodies = {f"{prefix}<module>", prefix + mutant.function}
        used = lambda names: any(name.startswith(prefix) and name not in bodies for name in names)  # noqa: E731
        return {file for file, names in self.functions.items() if used(names)} or exact


def measure(tests: list[str], copies: list[Copy], out: Path) -> Baseline:
    """Run every test file once without a mutant. Kept in `baseline.json`, file by file."""
    path = out / "baseline.json"
    kept = json.loads(path.read_text()) if path.is_file() else {}
    paths = sorted({path for word in tests for path in modules_below(ROOT / word) if path.name.startswith("test_")})
    files = [path.relative_to(ROOT).as_posix() for path in paths]
    files = [file for file in files if not file.startswith(("tests/faults/", "tests/slurm/", "tests/mutation/"))]
    stamps = {file: str((ROOT / file).stat().st_mtime_ns) for file in files}
    due = [file for file in files if kept.get(file, {}).get("stamp") != stamps[file]]

    def note(file: str, result: Result) -> None:
        kept[file] = {"stamp": stamps[file], "status": result.status, "seconds": result.seconds}
        kept[file]["functions"] = result.functions or []
        path.write_text(json.dumps(kept))
        if result.status not in (0, 5):
            print(f"{file} fails without a mutant ({result.failed}) and is left out; see {out}/logs")

    print(f"{len(due)} test files to run without a mutant")
    jobs = [(file, [file], 600.0, None) for file in due]
    in_parallel(jobs, copies, out, note, trace=True)
    good = {file: kept[file] for file in files if kept[file]["status"] == 0}
    return Baseline(
        {file: entry["seconds"] for file, entry in good.items()},
        {file: set(entry["functions"]) for file, entry in good.items()},
    )


# Running


def run_all(due: list[Mutant], copies: list[Copy], baseline: Baseline, budget: float, out: Path) -> None:
    path = out / "results.csv"
    if not path.is_file():
        path.write_text(",".join(COLUMNS) + "\n")
    files = {mutant: baseline.files_for(mutant, budget) for mutant in due}

    def note(mutant: Mutant, result: Result) -> None:
        row = {name: getattr(mutant, name, "") for name in COLUMNS}
        row |= {"outcome": outcome(result), "killed_by": result.failed, "tests_run": result.tests_run}
        row |= {"files": len(files[mutant]), "seconds": f"{result.seconds:.1f}"}
        with path.open("a", newline="") as file:
            csv.DictWriter(file, COLUMNS).writerow(row)
        print(f"{row['outcome']:9} {row['seconds']:>6} s  {where(row)}", flush=True)

    jobs = []
    for mutant in due:
        if not files[mutant]:
            note(mutant, Result(5, 0.0))
            continue
        timeout = 30 + 4 * sum(baseline.seconds[file] for file in files[mutant])
        jobs.append((mutant, files[mutant], timeout, mutant))
    in_parallel(jobs, copies, out, note)


def in_parallel(jobs: list[tuple], copies: list[Copy], out: Path, note, trace: bool = False) -> None:
    """Run (name, test files, timeout, mutant or None), one in each copy at a time; `note(name, result)` as they end."""
    (out / "logs").mkdir(exist_ok=True)
    waiting, idle, running = list(reversed(jobs)), list(copies), []  # type: ignore[var-annotated]
    while waiting or running:
        while waiting and idle:
            job, copy = waiting.pop(), idle.pop()
            running.append((job, copy, start(job, copy, out, trace)))
        for job, copy, run in list(running):
            result = run.poll(job[2])
            if result is not None:
                running.remove((job, copy, run))
                idle.append(copy)
                if job[3] is not None:
                    copy.write(job[3].module, (ROOT / job[3].module).read_bytes())
                note(job[0], result)
        time.sleep(0.02)


def start(job: tuple, copy: Copy, out: Path, trace: bool) -> Run:
    name, files, _, mutant = job
    if mutant is not None:
        copy.write(mutant.module, mutant.apply((ROOT / mutant.module).read_bytes()))
        name = f"{mutant.module}-{mutant.line}-{mutant.operator}-{mutant.start}"
    log = out / "logs" / f"{name.replace('/', '.')}.txt"
    return copy.start(files, copy.temporary.with_suffix(".json"), log, trace)


def outcome(result: Result) -> str:
    if result.status is None:
        return "timeout"
    return {0: "survived", 5: "untested"}.get(result.status, "killed")


# Reporting


def read_results(path: Path) -> dict[tuple, dict]:
    """The last result of every mutant."""
    if not path.is_file():
        return {}
    with path.open(newline="") as file:
        return {tuple(row[name] for name in KEY): row for row in csv.DictReader(file)}


def where(row: dict) -> str:
    shorten = lambda text: " ".join(text.split()) or "nothing"  # noqa: E731
    return f"{row['module']}:{row['line']} {row['operator']}: {shorten(row['before'])} -> {shorten(row['after'])}"


def report(chosen: list[Mutant], results: dict[tuple, dict], known: dict[tuple, str]) -> None:
    counts: dict[str, int] = defaultdict(int)
    for mutant in chosen:
        row = results.get(mutant.key)
        kind = known.get(mutant.key) or (row["outcome"] if row else "not run")
        counts[kind] += 1
        if kind in ("survived", "untested"):
            print(f"{kind}: {where(row)}   [{row['text']}]")
    killed, alive = counts["killed"] + counts["timeout"], counts["survived"] + counts["untested"]
    print(", ".join(f"{number} {kind}" for kind, number in sorted(counts.items())))
    if killed + alive:
        print(f"score: {killed} of {killed + alive} = {100 * killed / (killed + alive):.1f} %")


if __name__ == "__main__":
    main()
