"""What `cost` and `status` share: which tables and figures, how fast the work is done, and where that is known from."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from fsar_core.config import load
from fsar_core.errors import FsarError, did_you_mean
from fsar_core.maintenance.cost import Cost, targets, time
from fsar_core.maintenance.throughputs import Throughputs, measured
from fsar_core.study import Study
from fsar_core.study.artifacts.base import Artifact


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="tables and figures; default: all")
    parser.add_argument("--workflow", type=Path, default=Path("workflow"))
    parser.add_argument(
        "--throughputs", type=Path, help="a file like workflow/throughputs.yaml, the default"
    )
    parser.add_argument(
        "--shipped", action="store_true", help="do not look at how fast the jobs were that are done"
    )


def chosen(names: Sequence[str], study: Study) -> dict[str, Artifact]:
    """Return the tables and figures with these names, without names all of them."""
    known = targets(study)
    for name in names:
        if name not in known:
            raise FsarError(f"no table or figure '{name}'{did_you_mean(name, known)}")
    return {name: target for name, target in known.items() if not names or name in names}


def speeds(args: argparse.Namespace, study: Study) -> Throughputs:
    """Return the speeds of the file, replaced by those of jobs that have been done here."""
    known = load(Throughputs, args.throughputs or args.workflow / "throughputs.yaml")
    known = known.of_preset(study.config.preset)
    folder = study.config.roots.results / "benchmarks"
    if args.shipped:
        return known
    own = measured(study.artifacts.behind(targets(study).values()), folder)
    if not own:
        return known
    rules = ", ".join(sorted({name.split(".")[0] for name in own}))
    source = f"jobs that are done here ({folder}) for {rules}; for the others {known.source}"
    return known.model_copy(update={"clips": known.clips | own, "source": source})


def tell_time(total: Cost, cores: int, gpus: int) -> None:
    """How long everything takes at least, on a machine whose cores and GPUs are always busy."""
    if gpus:
        hours = max(total.gpu_hours / gpus, total.other_core_hours / cores)
        print(
            f"at least {time(hours)} with {_counted(cores, 'core')} and {_counted(gpus, 'GPU')} that are always busy"
        )
    else:
        print(
            f"at least {time(total.core_hours / cores)} with {_counted(cores, 'core')}, always busy, and no GPU"
        )


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def tell_sources(speeds: Throughputs) -> None:
    print(f"speeds: {speeds.source}")
    print(f"a GPU counts as {speeds.gpu:g} cores: {speeds.gpu_source}")
