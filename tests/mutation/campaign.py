"""Plant mistakes in the package, one at a time, and see whether the tests notice. README.md says how to run it."""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import math
import random
import signal
import sys
import tempfile
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.mutation.mutants import KEY, Mutant, compiles, mutants
from tests.mutation.runner import ROOT, Job, Result, preload, run_jobs

KNOWN = Path(__file__).parent / "known.yaml"
COLUMNS = (
    "module",
    "line",
    "column",
    "function",
    "operator",
    "before",
    "after",
    "outcome",
    "killed_by",
)
COLUMNS += ("tests_run", "files", "seconds", "text")
LEFT_OUT = ("tests/faults/", "tests/slurm/", "tests/workflow/", "tests/mutation/")
BASELINE_TIMEOUT = 1200.0
NO_TESTS = 5  # the exit status of pytest if there are none
# Tests that no mirrored name and no call in the test's own process leads to: they run the code in other processes.
ALSO = {
    "fsar_core/cli/": ["tests/cli", "tests/test_main.py"],
    "fsar_core/data/isolation.py": [
        "tests/data/test_isolation.py",
        "tests/data/test_probing.py",
        "tests/hostile",
    ],
    "fsar_core/data/decoding.py": [
        "tests/data/test_decoding.py",
        "tests/store_kinds/test_frames.py",
    ],
    "fsar_core/heads/": ["tests/contract/test_heads.py"],
    "fsar_core/metrics/": ["tests/contract/test_matching.py"],
    "fsar_core/mask_providers/": ["tests/contract/test_instance_masks.py"],
    "fsar_core/models/episode_model.py": ["tests/evaluation/test_protocol.py"],
    "fsar_core/storage/locks.py": ["tests/storage/test_locks.py"],
    "fsar_core/runtime/launcher.py": ["tests/runtime/test_launcher.py"],
}


def main() -> None:
    arguments = parsed()
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit("stopped; the same command goes on where it stopped")
    )
    arguments.out.mkdir(parents=True, exist_ok=True)
    entries = yaml.safe_load(KNOWN.read_text()) or []
    known = {tuple(str(entry[name]) for name in KEY): entry["kind"] for entry in entries}
    chosen = sample(arguments.only, arguments.count, arguments.seed)
    results = read_results(arguments.out)
    due = [mutant for mutant in chosen if is_due(mutant, results, known, arguments.retry)]
    print(f"{len(chosen)} mutants chosen, {len(due)} to run")
    if due and not arguments.list:
        preload()
        baseline = measure(arguments)
        try_mutants(due, baseline, arguments)
    report(chosen, known, arguments.out)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--count",
        type=int,
        default=300,
        help="mutants to sample; a larger count extends a smaller one",
    )
    parser.add_argument(
        "--only", nargs="+", default=["fsar_core"], metavar="PATH", help="modules or folders"
    )
    parser.add_argument(
        "--tests", nargs="+", default=["tests"], metavar="PATH", help="test files or folders to use"
    )
    parser.add_argument("--jobs", type=int, default=1, help="test runs at the same time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--budget",
        type=float,
        default=240,
        help="seconds of tests, unmutated, that one mutant may take",
    )
    parser.add_argument(
        "--retry", action="store_true", help="run mutants that survived or timed out again"
    )
    parser.add_argument(
        "--list", action="store_true", help="report on earlier results and run nothing"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "mutation")
    return parser.parse_args()


def is_due(
    mutant: Mutant, results: dict[tuple, dict], known: dict[tuple, str], retry: bool
) -> bool:
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
        ranked += [
            ((place + 0.5) / math.sqrt(len(members)), mutant) for place, mutant in enumerate(turns)
        ]
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
        ((place + generator.random()) / len(kind) ** 0.5, m)
        for kind in kinds.values()
        for place, m in enumerate(kind)
    ]
    return [mutant for _, mutant in sorted(places, key=lambda pair: pair[0])]


# Which tests


@dataclass
class Baseline:
    """Test files that pass without a mutant: their seconds, and the functions of the package that they call."""

    seconds: dict[str, float]
    functions: dict[str, set[str]]

    def files_for(self, mutant: Mutant, budget: float) -> list[str]:
        """Test files for one mutant: those that belong to its module, then others up to `budget` seconds of tests."""
        module, name = mutant.module, Path(mutant.module).stem.strip("_")
        folder = Path("tests", *Path(module).parts[1:-1])
        mirror = [str(folder / f"test_{name}.py"), str(folder.with_name(f"test_{folder.name}.py"))]
        also = [
            file for prefix, files in ALSO.items() if module.startswith(prefix) for file in files
        ]
        calling = self._calling(mutant)
        specific = [
            f
            for word in [*mirror, *also]
            for f in self.seconds
            if f == word or f.startswith(word + "/")
        ]
        others = sorted(
            calling - set(specific),
            key=lambda file: (not file.startswith(str(folder)), self.seconds[file]),
        )
        files, total = list(dict.fromkeys(specific)), 0.0
        for file in others:
            total += self.seconds[file]
            if total <= budget or not files:
                files.append(file)
        return files

    def _calling(self, mutant: Mutant) -> set[str]:
        """Files in which the mutant's function runs; for code at import, any function of the module."""
        prefix = f"{mutant.module}:"
        exact = {
            file for file, names in self.functions.items() if prefix + mutant.function in names
        }
        if "<locals>" in mutant.function or not mutant.function[0].isupper():
            at_import = mutant.function == "<module>"
        else:
            at_import = "." not in mutant.function
        if not at_import:
            return exact
        bodies = {f"{prefix}<module>", prefix + mutant.function}
        used = lambda names: any(name.startswith(prefix) and name not in bodies for name in names)  # noqa: E731
        return {file for file, names in self.functions.items() if used(names)} or exact


def measure(arguments: argparse.Namespace) -> Baseline:
    """Run every test file once without a mutant, unless `baseline.json` has it already."""
    path = arguments.out / "baseline.json"
    kept = json.loads(path.read_text()) if path.is_file() else {}
    tests = {
        path
        for word in arguments.tests
        for path in modules_below(ROOT / word)
        if path.name.startswith("test_")
    }
    files = [path.relative_to(ROOT).as_posix() for path in sorted(tests)]
    files = [file for file in files if not file.startswith(LEFT_OUT)]
    digests = {file: hashlib.sha256((ROOT / file).read_bytes()).hexdigest() for file in files}
    due = [file for file in files if kept.get(file, {}).get("digest") != digests[file]]

    def done(job: Job, result: Result) -> None:
        kept[job.name] = {
            "digest": digests[job.name],
            "status": result.status,
            "seconds": result.seconds,
        }
        kept[job.name]["functions"] = result.functions
        path.write_text(json.dumps(kept))
        print(f"  {result.seconds:6.1f} s  {job.name}", flush=True)
        if result.status not in (0, 5):
            print(
                f"{job.name}: fails without a mutant ({result.failed}) and is left out; see {arguments.out / 'logs'}"
            )

    print(f"{len(due)} test files to run without a mutant")
    jobs = [Job(file, [file], BASELINE_TIMEOUT) for file in due]
    with tempfile.TemporaryDirectory(prefix="fsar-mutation-") as folder:
        run_jobs(jobs, Path(folder), arguments.jobs, arguments.out / "logs", done, trace=True)
    good = {file: kept[file] for file in files if kept[file]["status"] == 0}
    seconds = {file: entry["seconds"] for file, entry in good.items()}
    return Baseline(seconds, {file: set(entry["functions"]) for file, entry in good.items()})


# Running


def try_mutants(due: list[Mutant], baseline: Baseline, arguments: argparse.Namespace) -> None:
    """Run the tests of every mutant and add a line to results.csv for each."""
    path = arguments.out / "results.csv"
    if not path.is_file():
        path.write_text(",".join(COLUMNS) + "\n")

    def done(job: Job, result: Result) -> None:
        row = {name: getattr(job.mutant, name, "") for name in COLUMNS}
        row |= {
            "outcome": outcome(result),
            "killed_by": result.failed,
            "tests_run": result.tests_run,
        }
        row |= {"files": len(job.files), "seconds": f"{result.seconds:.1f}"}
        with path.open("a", newline="") as file:
            csv.DictWriter(file, COLUMNS).writerow(row)
        print(f"{row['outcome']:9} {row['seconds']:>6} s  {where(row)}", flush=True)

    jobs = []
    for mutant in due:
        files = baseline.files_for(mutant, arguments.budget)
        timeout = 30 + 4 * sum(baseline.seconds[file] for file in files)
        job = Job(
            f"{mutant.module}-{mutant.line}-{mutant.operator}-{mutant.start}",
            files,
            timeout,
            mutant,
        )
        if files:
            jobs.append(job)
        else:
            done(job, Result(NO_TESTS, 0.0))
    with tempfile.TemporaryDirectory(prefix="fsar-mutation-") as folder:
        run_jobs(jobs, Path(folder), arguments.jobs, arguments.out / "logs", done)


def outcome(result: Result) -> str:
    if result.status is None:
        return "timeout"
    return {0: "survived", NO_TESTS: "untested"}.get(result.status, "killed")


# Reporting


def read_results(out: Path) -> dict[tuple, dict]:
    """The last result of every mutant."""
    path = out / "results.csv"
    if not path.is_file():
        return {}
    with path.open(newline="") as file:
        return {tuple(row[name] for name in KEY): row for row in csv.DictReader(file)}


def where(row: dict) -> str:
    before, after = (" ".join(row[name].split()) or "nothing" for name in ("before", "after"))
    return f"{row['module']}:{row['line']} {row['operator']}: {before} -> {after}"


def report(chosen: list[Mutant], known: dict[tuple, str], out: Path) -> None:
    """Print survivors and the score; write survivors.yaml, whose entries can be moved to known.yaml."""
    results, counts, survivors = read_results(out), Counter(), []
    for mutant in chosen:
        row = results.get(mutant.key)
        kind = known.get(mutant.key) or (row["outcome"] if row else "not run")
        counts[kind] += 1
        if kind in ("survived", "untested"):
            print(f"{kind}: {where(row)}   [{row['text']}]")
            survivors.append({name: row[name] for name in KEY} | {"kind": "?", "reason": "?"})
    (out / "survivors.yaml").write_text(
        yaml.safe_dump(survivors, sort_keys=False, allow_unicode=True)
    )
    killed, alive = counts["killed"] + counts["timeout"], counts["survived"] + counts["untested"]
    print(", ".join(f"{number} {kind}" for kind, number in sorted(counts.items())))
    if killed + alive:
        print(f"score: {killed} of {killed + alive} = {100 * killed / (killed + alive):.1f} %")


if __name__ == "__main__":
    main()
