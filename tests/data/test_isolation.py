"""Isolated work: order, losses that cost one item, exceptions, and a bounded number of items under way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fsar_core.data.isolation import Lost, isolated_map


def work(item):
    """Runs in other processes: (what, value) -> value, after what `what` says."""
    what, value = item
    if what == "hang":
        time.sleep(60)
    if what == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == "exit":
        os._exit(3)
    if what == "raise":
        raise LookupError(value)
    return value


def test_results_come_in_order():
    items = [("wait", number) for number in range(50)]
    assert list(isolated_map(work, items, workers=3, timeout=30, ahead=4)) == list(range(50))
    assert list(isolated_map(work, [], workers=1, timeout=30)) == []


def test_a_lost_item_costs_no_other():
    items = [("", 0), ("crash", 1), ("", 2), ("hang", 3), ("exit", 4), ("", 5), ("crash", 6), ("", 7)]
    found = list(isolated_map(work, items, workers=2, timeout=1.5))
    crash = Lost("the decoder crashed (SIGSEGV)")
    hang, left = Lost("no answer within 1.5 s"), Lost("the decoder crashed (exit status 3)")
    assert found == [0, crash, 2, hang, left, 5, crash, 7]


def test_an_exception_is_no_loss():
    with pytest.raises(LookupError, match="what"):
        list(isolated_map(work, [("", 0), ("raise", "what")], workers=1, timeout=30))


def test_few_items_are_under_way_at_a_time():
    drawn = []

    def items():
        for number in range(100):
            drawn.append(number)
            yield "", number

    results = isolated_map(work, items(), workers=2, timeout=30, ahead=3)
    assert next(results) == 0 and len(drawn) == 7
    assert next(results) == 1 and len(drawn) == 8
    results.close()


def test_workers_end_with_a_killed_parent(tmp_path):
    script = f"""
import sys
sys.path[:0] = {[str(Path(__file__).parents[2])]}
from fsar_core.data.isolation import isolated_map
from tests.data.test_isolation import own_process
for process in isolated_map(own_process, [0, 1, 2], workers=1, timeout=60, ahead=1):
    print(process, flush=True)
    break
input()
"""
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        worker = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 30
    while Path(f"/proc/{worker}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not Path(f"/proc/{worker}").exists()


def own_process(item):
    return os.getpid()
