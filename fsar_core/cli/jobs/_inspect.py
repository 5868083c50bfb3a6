"""What `fsar inspect` takes out of a run, by what is wanted of it."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from fsar_core.cli.jobs import _run
from fsar_core.data.index import index_identity, read_index
from fsar_core.episodes import tables
from fsar_core.episodes.loader import FrameBank
from fsar_core.evaluation import gradcam, inspection, mask_quality
from fsar_core.inputs.instance_masks import MaskSource
from fsar_core.specs import EpisodeSpec, RunSpec
from fsar_core.storage.bindings import check_episodes, check_index
from fsar_core.stores.reader import StoreReader


def look(
    args: argparse.Namespace, spec: RunSpec, wanted: dict[str, Any]
) -> tuple[tables.EpisodeTable, dict[str, str], dict[str, np.ndarray]]:
    """The episodes that are looked at, digests of what is looked into, and the arrays by name."""
    opened = _run.opened(args, spec, spec.tested_on)
    bank, model, machine = opened.bank, opened.model, opened.machine
    inputs = opened.load(args.checkpoint, spec)
    table = tables.load(args.episodes, EpisodeSpec.parse(args.episode_spec))
    frames = StoreReader(args.frames, "frames", spec.tested_on.frames)
    for reader in (opened.reader, frames):
        check_episodes(args.episodes, table.index, reader.store, reader.inputs)
    # Read clip by clip: a picture needs few of them.
    pictures = FrameBank(frames, table.rows, memory_gib=0, threads=args.threads, crop=spec.tested_on.crop)

    def features(episodes: list[int]):
        return bank(np.concatenate([part[episodes].reshape(-1) for part in (table.support, table.query)]))

    if "attention" in wanted:
        shown = [episode for episode, _ in wanted["attention"]]
        counted = range(min(wanted["episodes"], len(table)))
        held = features([*shown, *counted])
        found = inspection.attention(model, held, pictures, table, wanted["attention"], wanted["grid"], machine)
        found["right_class"] = inspection.attention_on_the_right_class(model, held, table, len(counted), machine)
    elif "cam" in wanted:
        counted = range(min(wanted.get("evidence", 0), len(table)))
        held = features([*(episode for episode, _ in wanted["cam"]), *counted])
        found = gradcam.class_activations(model, held, pictures, table, wanted["cam"], machine)
        if counted:
            found |= gradcam.evidence(model, held, table, len(counted), machine)
    elif "masks" in wanted:
        index, store = read_index(args.index), StoreReader(args.masks, "masks", spec.masks)
        check_index(args.index, index_identity(index), [opened.reader, frames, store])
        failed = opened.reader.failed | store.failed
        rows = mask_quality.choose(index, failed, spec.masks_held_out, spec.seed, wanted["clips"])
        masks = MaskSource(store, spec.features).load(rows[1], memory_gib=0, threads=args.threads)
        found = mask_quality.mask_quality(
            model, bank(np.concatenate(rows)), masks, pictures, *rows, wanted["masks"], machine
        )
        found["classes"] = index["class"].to_numpy(str)[rows[0]]
        found["provider"] = np.array(spec.masks.provider.name)
    else:
        found = inspection.embeddings(model, bank(table.rows), table, machine)
    print(machine.meter.line(machine.device))
    return table, inputs | {"episodes": table.content}, found
