"""Isolated work: order, losses that cost one item, exceptions, and a bounded number of items under way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from fsar_core.data.isolation import Lost, isolated_map


def fails_once(folder):
    """Dies where it is called for the first time."""
    mark = Path(folder) / "called"
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def alone(item):
    """How many items are under way beside one whose process died, at its second attempt; the others take a moment."""
    folder, number = item
    here = Path(folder) / f"{number} is under way"
    here.touch()
    if number == 0:
        mark = Path(folder) / "called"
        if not mark.exists():
            mark.touch()
            here.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
    else:
        time.sleep(0.3)
    others = len(list(Path(folder).glob("* is under way"))) - 1
    here.unlink()
    return others


class DiesWhenSent:
    """A result whose process dies while it sends it for the first time."""

    def __init__(self, folder):
        self.mark = Path(folder) / "sent"

    def __reduce__(self):
        if not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return str, ("done",)


def sends(folder):
    return DiesWhenSent(folder) if isinstance(folder, Path) else folder


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
    items = [
        ("", 0),
        ("crash", 1),
        ("", 2),
        ("hang", 3),
        ("exit", 4),
        ("", 5),
        ("crash", 6),
        ("", 7),
    ]
    found = list(isolated_map(work, items, workers=2, timeout=1.5))
    crash = Lost("the decoder crashed (SIGSEGV)", worker_died=True)
    hang = Lost("no answer within 1.5 s", worker_died=True)
    left = Lost("the decoder crashed (exit status 3)", worker_died=True)
    assert found == [0, crash, 2, hang, left, 5, crash, 7]


def test_an_item_whose_process_was_killed_is_tried_again(tmp_path, capsys):
    found = isolated_map(
        fails_once, [tmp_path], workers=2, timeout=30, name=lambda item: "'a clip'"
    )
    assert list(found) == ["done"]
    assert (
        capsys.readouterr().err
        == "fsar: 'a clip': the decoder crashed (SIGKILL); trying it once more, alone\n"
    )


def test_a_process_that_dies_without_an_item_costs_none(capsys):
    def items():
        yield "", 0
        time.sleep(1)  # the first is done by now, and its process waits
        for server in psutil.Process().children():
            for process in server.children():
                process.kill()
        time.sleep(0.5)
        yield from (("", number) for number in range(1, 5))

    assert list(isolated_map(work, items(), workers=1, timeout=30)) == list(range(5))
    assert (
        "fsar: a decoding process was killed between two clips; new ones are started\n"
        in capsys.readouterr().err
    )


@pytest.mark.timeout(50)
def test_a_process_that_dies_while_it_sends_a_result_stops_no_other(tmp_path):
    """It dies with the lock for sending, for which every other process of its pool would wait."""
    assert list(isolated_map(sends, [tmp_path, "a", "b"], workers=1, timeout=30)) == [
        "done",
        "a",
        "b",
    ]


def test_the_second_attempt_runs_alone(tmp_path):
    items = [(tmp_path, number) for number in range(12)]
    first, *others = isolated_map(alone, items, workers=4, timeout=30)
    assert first == 0 and max(others) > 0


def test_an_item_that_is_lost_twice_is_said_to_be_lost(capsys):
    list(isolated_map(work, [("crash", 1)], workers=1, timeout=30, name=lambda item: "'b'"))
    assert capsys.readouterr().err.splitlines() == [
        "fsar: 'b': the decoder crashed (SIGSEGV); trying it once more, alone",
        "fsar: 'b': the decoder crashed (SIGSEGV) again; it is left out as lost",
    ]


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
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        worker = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 30
    while Path(f"/proc/{worker}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not Path(f"/proc/{worker}").exists()


def own_process(item):
    return os.getpid()
