"""Failed jobs are forgotten, and the files that they were to update are removed."""

from __future__ import annotations

from pathlib import Path

from snakemake.io import flag

from fsar_core.runtime.failed_jobs import forget


class Job:
    def __init__(self, *output, jobs=()):
        self.output, self.jobs = output, jobs

    def is_group(self) -> bool:
        return bool(self.jobs)


class Persistence:
    def __init__(self):
        self.cleaned = []

    def cleanup(self, job) -> None:
        self.cleaned.append(job)


def test_updated_files_of_failed_jobs_and_groups_are_removed(tmp_path, capsys):
    updated, plain, gone = (str(tmp_path / name) for name in ("updated", "plain", "gone"))
    for path in (updated, plain):
        Path(path).write_text("old")
    one, other = Job(flag(updated, "update"), plain), Job(flag(gone, "update"))
    persistence = Persistence()
    forget([Job(jobs=[one]), other], persistence)
    assert persistence.cleaned == [one, other]
    assert not Path(updated).exists() and Path(plain).read_text() == "old"
    assert capsys.readouterr().err == f"removed {updated}: the job that was to update it failed\n"
