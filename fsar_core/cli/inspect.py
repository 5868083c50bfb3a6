"""Look into a trained run for a figure: what it attends to on chosen queries, or what its metric is given of episodes."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from fsar_core.cli import _run
from fsar_core.specs import EpisodeSpec, RunSpec


def arguments(parser: argparse.ArgumentParser) -> None:
    _run.arguments(parser)
    parser.add_argument("--episodes", type=Path, required=True, help="frozen episodes")
    parser.add_argument("--episode-spec", required=True, help="JSON of their EpisodeSpec")
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--frames", type=Path, required=True, help="the frame store, for pictures")
    parser.add_argument(
        "--wanted",
        required=True,
        help='JSON: {"attention": [[episode, query], ...], "grid": n, "episodes": n} or {"embedding": true}',
    )
    parser.add_argument("--out", type=Path, required=True, help=".npz")


def run(args: argparse.Namespace) -> None:
    import numpy as np

    from fsar_core.episodes import tables
    from fsar_core.episodes.loader import FrameBank
    from fsar_core.evaluation import inspection
    from fsar_core.provenance import atomic_write
    from fsar_core.stores.reader import StoreReader
    from fsar_core.training import checkpoint

    spec, wanted = RunSpec.parse(args.spec), json.loads(args.wanted)
    bank, model, machine, _ = _run.prepare(args, spec, spec.tested_on)
    model.load_learned(checkpoint.load(args.checkpoint, spec.model.digest)["model"])
    model.to(machine.device)
    table = tables.load(args.episodes, EpisodeSpec.parse(args.episode_spec))
    if "attention" in wanted:
        shown = [episode for episode, _ in wanted["attention"]]
        frames = StoreReader(args.frames, "frames", spec.tested_on.frames)
        # Read clip by clip: a picture needs few of them.
        pictures = FrameBank(frames, table.rows, memory_gib=0, threads=args.threads, crop=spec.features.crop)
        counted = range(min(wanted["episodes"], len(table)))
        features = bank(np.concatenate([part[[*shown, *counted]].reshape(-1) for part in (table.support, table.query)]))
        found = inspection.attention(model, features, pictures, table, wanted["attention"], wanted["grid"], machine)
        found["right_class"] = inspection.attention_on_the_right_class(model, features, table, len(counted), machine)
    else:
        found = inspection.embeddings(model, bank(table.rows), table, machine)
    found |= {
        "run": np.array(spec.run_id),
        "dataset": np.array(spec.tested_on.dataset),
        "shot": np.array(table.spec.shot),
    }
    with atomic_write(args.out, "wb") as stream:
        np.savez_compressed(stream, **found)
    print(f"{args.out}: {len(found)} arrays of {spec.run_id}")
