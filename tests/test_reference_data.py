"""A test run without the folder of real data and reference numbers says at its end what it did not check."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(tmp_path, *options, **environment):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    command += ["tests/metrics/test_bimhm.py", "-k", "published"]
    environment = (
        os.environ
        | {"FSAR_SHARED": str(tmp_path / "missing"), "FSAR_REQUIRE_SHARED": "0"}
        | environment
    )
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_skipped_tests_are_counted_and_described(tmp_path):
    done = run(tmp_path)
    assert done.returncode == 0 and "4 skipped" in done.stdout, done.stdout + done.stderr
    assert f"4 tests NOT RUN: {tmp_path / 'missing'} lacks their files" in done.stdout
    assert (
        "4  logits of OTAM, Bi-MHM and TRX against those of public implementations" in done.stdout
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "environment"),
    [(["--require-shared"], {}), ([], {"FSAR_REQUIRE_SHARED": "1"})],
    ids=["option", "variable"],
)
def test_they_can_be_made_to_fail(tmp_path, options, environment):
    done = run(tmp_path, *options, **environment)
    assert done.returncode == 1 and "4 errors" in done.stdout, done.stdout + done.stderr
    assert "4 tests FAILED" in done.stdout
