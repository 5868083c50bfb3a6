"""The jobs that make a store: plan it, fill its rows share by share, seal it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fsar_core.data.index import read_index
from fsar_core.errors import FsarError
from fsar_core.runtime.devices import torch_device
from fsar_core.storage.locks import alone
from fsar_core.storage.places import Place
from fsar_core.storage.provenance import read_json
from fsar_core.stores import access, kinds, layout, manifest, writer
from fsar_core.stores.inputs import UNKNOWN, Inputs, changed_since

STORE_LOCK = "store.lock"  # of jobs that plan or seal a store


def plan(spec: Any, store: Place, index: Place, clips_per_job: int) -> None:
    """Decide the arrays of a store, create them empty and write plan.json.

    Args:
        spec: of the store.
        index: the clip index.
    """
    decided = kinds.get(spec.kind).plan(spec, read_index(index), clips_per_job)
    with alone(store / "locks" / STORE_LOCK, "plan"):
        layout.create(store, decided)


def fill(
    spec: Any,
    store: Place,
    index: Place,
    number: int,
    receipt: Place,
    options: kinds.FillOptions,
    say: Callable[[str], None] = print,
) -> None:
    """Fill the rows of a job and write its receipt, unless it is done from the same inputs.

    Args:
        spec: of the store.
        index: the clip index.
        number: of the job.
        receipt: out, what was done.
        say: receives lines for the log.
    Raises:
        FsarError: something that the job needs is missing or is not what its spec says.
    """
    kind = kinds.get(spec.kind)
    for name, what in kind.requires.items():
        if not options.given(name):
            raise FsarError(f"{options.option(name)}: missing; a {kind.title} needs {what}")
    planned = layout.read_plan(store)
    rows = planned.rows(number)
    job = kinds.FillJob(spec, planned, read_index(index), rows, options)
    clips = len(job.rows)
    with alone(store / "locks" / f"{number}.lock", f"fill job {number}"):
        task = kind.task(job)
        if writer.finished_job(store, number, receipt, task.inputs) is not None:
            say(
                f"job {number}: already done from the same inputs; "
                f"its {clips} clips stay as they are"
            )
            return
        reason = _reason_to_redo(receipt, task.inputs)
        if reason:
            say(f"job {number}: done again, because {reason}")
        threads = kind.write_threads(options)
        value = writer.write_job(store, number, task.blocks(), receipt, threads, task.inputs)
    if kind.uses_device(options):
        say(options.meter.line(torch_device(options.device)))
    counts = "".join(f", {name} {count}" for name, count in value["counts"].items())
    rate = clips / max(value["seconds"], 0.001)
    say(
        f"job {number}: {clips} clips in {value['seconds']:.1f} s, {rate:.1f} a second{counts}, "
        f"{len(value['failures'])} failed"
    )


def seal(store: Place, max_failures: float) -> dict[str, Any]:
    """Check the receipts and files of a filled store, write manifest.json and return its value.

    Args:
        max_failures: share of clips that may have failed, 0..1.
    Raises:
        FsarError: the store is not complete, or more clips have failed.
    """
    # Shared access: no job may remove a receipt between its check and the seal.
    with alone(store / "locks" / STORE_LOCK, "seal"), access.shared(store):
        return manifest.seal(store, max_failures)


def _reason_to_redo(receipt: Place, inputs: Inputs) -> str:
    """Return why a job that has a receipt is done again; an empty text if it has none."""
    try:
        old = read_json(receipt, "")
    except FsarError:
        return ""
    names = changed_since(old.get("inputs"), inputs)
    if names == [UNKNOWN]:
        return "its receipt does not say what it was made from"
    if names:
        return f"of what it is made from this changed: {', '.join(names)}"
    if any(failure.get("lost") for failure in old["failures"]):
        return "clips were lost with their decoder"
    return "its shard files are not what the receipt says"
