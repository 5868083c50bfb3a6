"""Count parameters, or measure memory, time and operations, of the rows of a table."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from fsar_core.papers.jobs import ComplexityJob, parse


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--spec",
        required=True,
        help="JSON of a ComplexityJob: rows of [name, head, metric or null], dim and frames; what is "
        "measured also names the episode",
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, required=True)


def run(args: argparse.Namespace) -> None:
    parse(ComplexityJob, args.spec)
    import torch

    from fsar_core.evaluation import complexity
    from fsar_core.runtime.devices import torch_device
    from fsar_core.storage.provenance import environment, write_json

    spec = json.loads(args.spec)
    record = {"spec": spec, "environment": environment()}
    if "repeats" in spec:
        torch.set_num_threads(args.threads)
        device = torch_device(args.device)
        record["rows"] = complexity.measure(spec, device)
        name = f"CPU, threads: {args.threads}"
        if device.type == "cuda":
            name = torch.cuda.get_device_name(device)
        record["environment"] |= {"device": name, "threads": str(args.threads)}
    else:
        record["rows"] = complexity.count(spec)
    write_json(args.out, record)
    print(f"{args.out}: {len(record['rows'])} rows")
