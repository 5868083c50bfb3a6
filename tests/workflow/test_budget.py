"""What `fsar cost` adds up are the jobs that Snakemake plans."""

from __future__ import annotations

from collections import Counter

import pytest

from fsar_core.maintenance.cost import targets
from tests.workflow.folders import Folder, study

pytestmark = pytest.mark.workflow


def test_jobs_by_rule_are_those_of_a_dry_run(tmp_path):
    planned = {
        rule: len(jobs)
        for rule, jobs in Folder(tmp_path).planned("--", "tables", "figures").items()
    }
    whole = study()
    needed = whole.artifacts.behind(targets(whole).values())
    counted = Counter(job.rule for artifact in needed for job in artifact.jobs)
    assert {
        rule: count for rule, count in planned.items() if rule not in ("tables", "figures")
    } == counted
