"""The same seed, machine and threads of torch give the same bytes, whatever runs beside what."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.runs import CONFIGS, TABLE, Project

pytestmark = pytest.mark.faults


@pytest.mark.timeout(1800)
def test_other_numbers_of_workers(tmp_path, undisturbed, ledger):
    """Three jobs at a time in place of two, three decoding processes in place of one."""
    other = Project(tmp_path, configs=(*CONFIGS, Path(__file__).with_name("workers.yaml")), cores=3)
    other.ok(TABLE)
    lost = other.differences(undisturbed)
    ledger.add("a second run, by other numbers of jobs and workers", 1, wrong=len(lost))
    assert not lost
