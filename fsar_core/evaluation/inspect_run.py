"""Take out of a trained run what a kind of figure shows of it, from files to files."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fsar_core import inputs
from fsar_core.episodes import tables
from fsar_core.errors import FsarError
from fsar_core.evaluation import arrays
from fsar_core.evaluation.opened_run import OpenedRun
from fsar_core.models.assembly import OpenModel
from fsar_core.specs import EpisodeSpec, RunSpec
from fsar_core.storage.bindings import check_episodes
from fsar_core.storage.places import Place
from fsar_core.storage.provenance import canonical_json
from fsar_core.stores.reader import StoreReader

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Files:
    """What a run is inspected with.

    Attributes:
        episodes: frozen episodes.
        checkpoint: of the trained model.
        frames: the frame store, for pictures.
        masks: the masks store, where the figure kind reads masks.
        index: the clip index, where the figure kind reads masks.
    """

    episodes: Path
    checkpoint: Path
    frames: Place
    masks: Place | None = None
    index: Place | None = None


class Wanted(dict):
    """What to take out; a key that is not there is a mistake of the user's."""

    def __missing__(self, key: str) -> Any:
        raise FsarError(f"--wanted: the key '{key}' is missing")


def inspect_run(
    spec: RunSpec,
    trained: OpenModel,
    episodes: EpisodeSpec,
    files: Files,
    inspection: str,
    wanted: Mapping[str, Any],
    out: Path,
) -> Arrays:
    """Take arrays out of a run, write them as .npz and return them.

    Args:
        trained: the run's model, on the features that it is tested on.
        episodes: spec of the frozen episodes.
        inspection: of the figure kind, as "module:function".
        wanted: what the figure kind wants to be taken out.
    Raises:
        FsarError: files are missing, damaged or do not belong together.
    """
    if inputs.of_test(spec):
        names = ", ".join(each.key for each in inputs.of_test(spec))
        raise FsarError(
            f"{spec.run_id}: its head receives {names} in tests, which figures of this kind do not "
            f"show; choose a row with another head"
        )
    bindings = trained.load(files.checkpoint, spec)
    table = tables.load(files.episodes, episodes)
    frames = StoreReader(files.frames, "frames", spec.tested_on.frames)
    for reader in (trained.reader, frames):
        check_episodes(files.episodes, table.index, reader.store, reader.inputs)
    run = OpenedRun(spec, trained, table, frames, files.masks, files.index)
    taken = pkgutil.resolve_name(inspection)(run, Wanted(wanted))
    taken |= {
        "inputs": np.array(canonical_json({**bindings, "episodes": table.content})),
        "run": np.array(spec.run_id),
        "dataset": np.array(spec.tested_on.dataset),
        "shot": np.array(table.spec.shot),
    }
    arrays.save(out, taken)
    return taken
