"""What was run on which data, and which clips could not be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fsar_core.data.index import index_identity, read_index
from fsar_core.evaluation.results import read_summary
from fsar_core.rendering import web
from fsar_core.storage.bindings import check_store_index
from fsar_core.storage.places import place
from fsar_core.stores import left_out
from fsar_core.stores.manifest import read_manifest

SHOWN = 200  # clips that are listed; all are in the tables' left_out.csv
SPLITS = ("train", "val", "test")


def page(paper: str, spec: dict[str, Any]) -> str:
    """The page.

    Args:
        spec: as `fsar page` is given it: preset, seed, behind, datasets, runs of the paper and their folder.
    """
    cards, parts = spec["datasets"], []
    stand_in = sorted({d for d, card in spec["behind"].items() if d != card})
    if stand_in:
        parts.append(
            web.paragraph(
                f"Other videos stand behind {', '.join(stand_in)} here, so that measured and printed numbers are not of the "
                f"same data: what they can be compared in is the order of methods and the sign of gains."
            )
        )
    lines = [(d, card, cards[card]["title"]) for d, card in spec["behind"].items() if card in cards]
    parts += [web.heading("Data sets"), web.table(["Data set of the paper", "measured on", "that is"], lines)]
    counted, lost = [], {}
    for name, card in cards.items():
        index = read_index(place(card["index"]))
        for store in map(place, card["frames"]):
            inputs = read_manifest(store).get("inputs", {})
            if "index" in inputs:
                check_store_index(place(card["index"]), index_identity(index), store, inputs)
        counted.append((name, *(_counted(index, split) for split in SPLITS), card["licence"], card["source"]))
        allowed = card["max_failures"]
        # Of a data set that is only counted there is no frame store.
        if card["frames"]:
            lost[name] = left_out.of_stores(map(place, card["frames"]), allowed)
        else:
            lost[name] = left_out.of_index(place(card["index"]), allowed)
    header = ["Measured on", "train", "val", "test", "licence", "source"]
    parts.append(web.table(header, counted))
    parts += [web.heading("Clips that could not be used"), *_failures(lost)]
    parts += [web.heading("Settings and versions"), web.table(["setting", "value"], _settings(spec))]
    frames = [place(store) for card in cards.values() for store in card["frames"]]
    stores = [(str(store), _size(read_manifest(store)["bytes"])) for store in frames]
    parts += [web.heading("Frame stores"), web.table(["store", "size"], stores)]
    return web.page(f"{paper.upper()}: what was run on which data", *parts)


def _counted(index, split: str) -> str:
    own = index[(index.split == split) & (index.problem == "")]
    return f"{own['class'].nunique()} classes, {len(own):,} clips"


def _failures(lost: dict[str, left_out.Lost]) -> list[str]:
    """A count for every data set, and the clips with their reasons."""
    counts = [
        (
            name,
            f"{len(of.failures):,} of {of.clips:,}",
            f"{len(of.failures) / max(of.clips, 1):.1%}",
            f"{of.allowed:.1%}",
        )
        for name, of in lost.items()
    ]
    parts = [web.table(["Measured on", "left out", "share", "its card allows"], counts)]
    every = [(name, *of.failures[row]) for name, of in lost.items() for row in sorted(of.failures)]
    if every:
        listed = web.table(["Measured on", "clip", "problem"], every[:SHOWN])
        more = f", of which {SHOWN} are shown" if len(every) > SHOWN else ""
        parts.append(web.folded(f"{len(every):,} clips and what is wrong with them{more}", listed))
    return parts


def _settings(spec: dict[str, Any]) -> list[tuple[str, str]]:
    """Preset, seed, and what the environments of the runs say; several values where they differ."""
    found: dict[str, set[str]] = {}
    for run in spec["runs"]:
        for key, value in read_summary(Path(spec["runs_folder"]) / run)["environment"].items():
            found.setdefault(key, set()).add(str(value))
    told = [("preset of config.yaml", spec["preset"]), ("seed", str(spec["seed"])), ("runs", f"{len(spec['runs']):,}")]
    return told + [(key, ", ".join(sorted(values - {""})) or "-") for key, values in sorted(found.items())]


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
