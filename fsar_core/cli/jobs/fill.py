"""Fill one job's rows of a planned store and write the receipt."""

from __future__ import annotations

import argparse
from pathlib import Path

from fsar_core.cli.jobs import _fill
from fsar_core.data.index import read_index
from fsar_core.errors import FsarError
from fsar_core.runtime.devices import Meter, torch_device
from fsar_core.storage.locks import alone
from fsar_core.storage.places import Place, place
from fsar_core.storage.provenance import read_json
from fsar_core.stores import layout, writer
from fsar_core.stores.inputs import UNKNOWN, Inputs, changed_since


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--spec", required=True, help="JSON of a FrameSpec, FeatureSpec, MaskSpec or SaliencySpec")
    parser.add_argument("--store", type=place, required=True)
    parser.add_argument("--index", type=place, required=True)
    parser.add_argument("--job", type=int, required=True)
    parser.add_argument("--receipt", type=place, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="frames, masks: the folder of the data set")
    parser.add_argument("--timeout", type=float, default=60.0, help="frames: seconds that a clip may take")
    parser.add_argument("--frames", type=place, help="features, masks: the frame store")
    parser.add_argument("--features", type=place, help="saliency: the feature store")
    parser.add_argument("--weights", help="a file (saliency: the classifier), or a name that the backbone knows")
    parser.add_argument("--weights-root", type=Path, help="features: where named weights are kept")
    parser.add_argument("--batch-clips", type=int, default=16, help="features: clips of one forward pass")
    parser.add_argument("--batch-frames", type=int, default=8, help="masks: frames of one forward pass")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", choices=["full", "mixed"], default="full", help="features: mixed on a GPU only")


def run(args: argparse.Namespace) -> None:
    spec, plan, index = layout.parse_spec(args.spec), layout.read_plan(args.store), read_index(args.index)
    rows, meter = plan.rows(args.job), Meter()
    with alone(args.store / "locks" / f"{args.job}.lock", f"fill job {args.job}"):
        task = _task(args, spec, plan, index, rows, meter)
        if writer.finished_job(args.store, args.job, args.receipt, task.inputs) is not None:
            print(f"job {args.job}: already done from the same inputs; its {len(rows)} clips stay as they are")
            return
        reason = _reason(args.receipt, task.inputs)
        if reason:
            print(f"job {args.job}: done again, because {reason}")
        threads = _fill.free_threads(args) if spec.kind == "features" else 1
        receipt = writer.write_job(args.store, args.job, task.blocks(), args.receipt, threads, task.inputs)
    if spec.kind == "features" or (spec.kind == "masks" and args.weights):
        print(meter.line(torch_device(args.device)))
    counts = "".join(f", {name} {count}" for name, count in receipt["counts"].items())
    print(
        f"job {args.job}: {len(rows)} clips in {receipt['seconds']:.1f} s, {len(rows) / max(receipt['seconds'], 0.001):.1f} a "
        f"second{counts}, {len(receipt['failures'])} failed"
    )


def _task(args: argparse.Namespace, spec, plan, index, rows, meter: Meter) -> _fill.Task:
    if spec.kind == "frames":
        return _fill.frames(args, spec, plan, index, rows)
    if spec.kind == "masks":
        return _fill.masks(args, spec, plan, index, rows)
    if spec.kind == "saliency":
        return _fill.saliency(args, spec, plan, index, rows)
    return _fill.features(args, spec, plan, index, rows, meter)


def _reason(receipt: Place, inputs: Inputs) -> str:
    """Why a job that has a receipt is done again; an empty text where it has none."""
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
