"""What Snakemake (9.27) gets wrong about jobs that failed, put right."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def forget(failed: Iterable[Any], persistence: Any) -> None:
    """Make the next run of Snakemake repeat the jobs that failed.

    Snakemake records a failed job as done with its present inputs, and puts the old version of a
    file that the job was to update back with a new time stamp. Left alone, the next run would find
    that nothing is to be done, and what was made from the old inputs would stay. A job that `-R`
    alone asked for, without newer inputs, has to be asked for again.

    Args:
        failed: jobs, or groups of jobs, of a Snakemake scheduler.
        persistence: of the Snakemake workflow.
    """
    from snakemake.io import is_flagged

    for one in failed:
        for job in one.jobs if one.is_group() else [one]:
            persistence.cleanup(job)
            for path in [Path(file) for file in job.output if is_flagged(file, "update")]:
                if path.exists():
                    path.unlink()
                    print(f"removed {path}: the job that was to update it failed", file=sys.stderr)
