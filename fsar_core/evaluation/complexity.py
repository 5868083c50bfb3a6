"""What a head and a metric cost, or a whole network: parameters, operations, time and peak memory of one episode.

Parameters and operations are counted on torch's meta device, where nothing is computed; operations by `torch.utils.flop_counter`
(a multiplication with its addition is two). Memory is what torch's allocator holds at most during a pass beyond what it held
before, what goes in and parameters not counted: on a GPU `torch.cuda.max_memory_allocated`, on a CPU the allocations that
`torch.profiler` records (`profile_memory=True`), which are the same in every run, unlike the resident memory of the process.
Times are of whole passes, the rows in turn in every round, so that a slow minute of the machine falls on all of them alike.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from fsar_core.components.registry import accepted, build
from fsar_core.episodes.loader import EpisodeFeatures
from fsar_core.models.episode_model import EpisodeModel
from fsar_core.models.losses import episodic_cross_entropy
from fsar_core.runtime.devices import torch_device
from fsar_core.storage.provenance import environment, write_json


def write_costs(spec: dict[str, Any], out: Path, device: str = "auto", threads: int = 1) -> int:
    """Count or measure the rows of a table, write a record as JSON and return their number.

    Args:
        spec: as for `count` or, with `repeats`, for `measure`.
        device: `cpu`, `cuda`, or `auto`: a GPU where there is one.
        threads: of the CPU.
    """
    record = {"spec": spec, "environment": environment()}
    if "repeats" in spec:
        torch.set_num_threads(threads)
        measured_on = torch_device(device)
        record["rows"] = measure(spec, measured_on)
        record["environment"] |= {
            "device": _device_name(measured_on, threads),
            "threads": str(threads),
        }
    else:
        record["rows"] = count(spec)
    write_json(out, record)
    return len(record["rows"])


def _device_name(device: torch.device, threads: int) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, threads: {threads}"


def parameters(module: torch.nn.Module) -> int:
    """How many numbers are trained."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def count(spec: dict[str, Any]) -> dict[str, dict[str, int]]:
    """What can be counted of every row of `spec`, nothing of it computed.

    Args:
        spec: rows of [name, head, None] and the sizes dim and frames; or as for `measure`.

    Returns:
        row -> parameters (of the head, where there is no metric) and, where there is one, flop of the test pass.
    """
    found = {}
    for name, head, metric in spec["rows"]:
        with torch.device("meta"):
            model = _part("heads", head, spec) if metric is None else _model(spec, head, metric)
        found[name] = {"parameters": parameters(model)}
        if metric is not None:
            with FlopCounterMode(display=False) as counter, torch.device("meta"):
                _test_pass(model, _episode(spec).to("meta"))()
            found[name]["flop"] = counter.get_total_flops()
    return found


def measure(spec: dict[str, Any], device: torch.device) -> dict[str, dict[str, Any]]:
    """Cost of every row of `spec` on one episode of random features, or of random frames.

    Args:
        spec: rows of [name, head, metric], and what `paper.Cost` says of the episode.

    Returns:
        row -> parameters, flop (of the test pass), and for the passes `test` (without gradients) and `train` (forward and
        backward) seconds of every repeat and peak_bytes.
    """
    found, episode, passes = count(spec), _episode(spec).to(device), {}
    for name, head, metric in spec["rows"]:
        torch.manual_seed(0)
        model = _model(spec, head, metric).to(device)
        passes |= {
            (name, kind): PASSES[kind](model, episode) for kind in spec.get("passes", PASSES)
        }
    for (name, kind), run in passes.items():
        found[name][kind] = {"seconds": [], "peak_bytes": peak_bytes(run, device)}  # also warms it
    for _ in range(spec["repeats"]):
        for (name, kind), run in passes.items():
            found[name][kind]["seconds"].append(_seconds(run, device))
    return found


def peak_bytes(run: Callable[[], Any], device: torch.device) -> int:
    """Bytes that torch holds at most during `run`, beyond what it holds before."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    changes = sorted(
        (event["ts"], event["args"]) for event in events if event["name"] == "[memory]"
    )
    before = changes[0][1]["Total Allocated"] - changes[0][1]["Bytes"]
    return max(change["Total Allocated"] for _, change in changes) - before


def _test_pass(model: EpisodeModel, episode: EpisodeFeatures) -> Callable[[], None]:
    def run() -> None:
        model.eval()
        with torch.inference_mode():
            model(episode)

    return run


def _training_pass(model: EpisodeModel, episode: EpisodeFeatures) -> Callable[[], None]:
    def run() -> None:
        model.train()
        logits, extra = model(episode)
        loss = episodic_cross_entropy(logits, episode.labels) + sum(extra.values())
        if loss.requires_grad:  # a plain metric has nothing to train
            loss.backward()
            model.zero_grad(set_to_none=True)

    return run


PASSES = {"test": _test_pass, "train": _training_pass}


def _seconds(run: Callable[[], None], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def _model(spec: dict[str, Any], head: dict[str, Any], metric: dict[str, Any]) -> EpisodeModel:
    """Head and metric on features, or behind a backbone that is trained with them."""
    if "backbone" not in spec:
        return EpisodeModel(
            torch.nn.Identity(), _part("heads", head, spec), _part("matching", metric, spec)
        )
    backbone = build("backbones", spec["backbone"]["name"], **spec["backbone"].get("params", {}))
    tail = backbone.tail("frames").eval()
    with torch.inference_mode():
        dim = tail(torch.zeros(1, 3, spec["crop"], spec["crop"], dtype=torch.uint8)).shape[1]
    sizes = spec | {"dim": dim}
    return EpisodeModel(
        tail, _part("heads", head, sizes), _part("matching", metric, sizes), train_tail=True
    )


def _part(kind: str, component: dict[str, Any], sizes: dict[str, Any]) -> torch.nn.Module:
    """A head or a metric for features of the given size."""
    name, params = component["name"], component["params"]
    offered = {
        key: sizes[key]
        for key in ("dim", "frames", "classes")
        if key in sizes and key not in params
    }
    return build(kind, name, **accepted(kind, name, **offered), **params)


def _episode(spec: dict[str, Any]) -> EpisodeFeatures:
    """Features or, where the network has its backbone, frames; of random numbers."""
    generator = torch.Generator().manual_seed(0)

    def clips(*lead: int) -> torch.Tensor:
        if "backbone" in spec:
            shape = (1, *lead, spec["frames"], 3, spec["crop"], spec["crop"])
            return torch.randint(256, shape, dtype=torch.uint8, generator=generator)
        return torch.rand(
            1,
            *lead,
            spec["frames"],
            spec["dim"],
            spec["height"],
            spec["width"],
            generator=generator,
        )

    labels = (torch.arange(spec["query"]) % spec["way"])[None]
    return EpisodeFeatures(clips(spec["way"], spec["shot"]), clips(spec["query"]), labels)
