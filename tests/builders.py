"""Builders for tests: bar-code videos, a toy data set, a toy clip index, a toy feature store, a toy episode batch.

Everything is a function of its arguments. A bar-code video carries its clip and frame number in every picture, so that a
test can say which frame was decoded; features have a class structure that `separation` scales (0: none at all).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from fsar_core.config import SPLITS
from fsar_core.data import splits
from fsar_core.runtime.seeding import rng
from fsar_core.specs import LAYOUT_VERSION, BackboneSpec, FeatureSpec, FrameSpec
from fsar_core.stores.layout import FILE_CLIPS, Plan, create, whole_files
from fsar_core.stores.manifest import seal
from fsar_core.stores.writer import Block, write_job

CLASSES: Mapping[str, int] = MappingProxyType({"train": 6, "val": 5, "test": 5})
FEW_CLASSES: Mapping[str, int] = MappingProxyType({"train": 2, "val": 1, "test": 1})

# A code is CODE_SIDE x CODE_SIDE black or white blocks: the clip's number in the upper half, the frame's in the lower.
CODE_SIDE = 4
_HALF_BITS = CODE_SIDE * CODE_SIDE // 2


def shared(*parts: str) -> Path:
    """A path below the folder of real data and reference numbers: $FSAR_SHARED, or `shared` beside the repository."""
    return Path(os.environ.get("FSAR_SHARED", Path(__file__).parents[2] / "shared"), *parts)


def code_picture(clip: int, frame: int, height: int = 64, width: int = 64) -> np.ndarray:
    """uint8 [height width channels]: the code fills the central square; left of it is dark, right of it light grey."""
    if not (0 <= clip < 2**_HALF_BITS and 0 <= frame < 2**_HALF_BITS):
        raise ValueError(f"clip {clip}, frame {frame}: each must fit {_HALF_BITS} bits")
    bits = np.array([int(bit) for bit in f"{clip:0{_HALF_BITS}b}{frame:0{_HALF_BITS}b}"]).reshape(
        CODE_SIDE, CODE_SIDE
    )
    side = min(height, width)
    block = -(-side // CODE_SIDE)
    square = np.kron(bits * 219 + 16, np.ones((block, block), int))[:side, :side]
    picture = np.full((height, width), 64)
    picture[:, width // 2 :] = 192
    top, left = (height - side) // 2, (width - side) // 2
    picture[top : top + side, left : left + side] = square
    return np.repeat(picture[..., None], 3, axis=-1).astype(np.uint8)


def read_codes(frames: np.ndarray) -> list[tuple[int, int]]:
    """(clip, frame) of every picture [... height width channels] whose central square shows a code.

    Raises:
        ValueError: a block is neither dark nor light, as in a blend of two frames.
    """
    height, width = frames.shape[-3:-1]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    found = []
    for picture in frames.reshape(-1, height, width, frames.shape[-1]):
        grey = picture[top : top + side, left : left + side].mean(axis=-1)
        centres = ((np.arange(CODE_SIDE) + 0.5) * side / CODE_SIDE).astype(int)
        reach = max(side // CODE_SIDE // 4, 1)
        blocks = np.array(
            [
                [grey[y - reach : y + reach, x - reach : x + reach].mean() for x in centres]
                for y in centres
            ]
        )
        if ((blocks > 80) & (blocks < 176)).any():
            raise ValueError(f"no clear code: block means {blocks.round().astype(int).tolist()}")
        bits = "".join("1" if value > 128 else "0" for value in blocks.reshape(-1))
        found.append((int(bits[:_HALF_BITS], 2), int(bits[_HALF_BITS:], 2)))
    return found


def write_code_video(
    path: Path,
    frames: int = 30,
    clip: int = 0,
    height: int = 64,
    width: int = 64,
    fps: int = 30,
    codec: str = "libx264",
    gop: int = 12,
) -> Path:
    """A video whose frame i shows the code (clip, i); the container follows from the file's suffix."""
    import av

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    lossless = {"libx264": {"qp": "0", "preset": "ultrafast"}}.get(codec, {})
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps, options={"g": str(gop), **lossless})
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.thread_count = 1
        for number in range(frames):
            picture = av.VideoFrame.from_ndarray(
                code_picture(clip, number, height, width), format="rgb24"
            )
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def toy_entries(classes: Mapping[str, int] = CLASSES, clips: int = 8) -> pd.DataFrame:
    """A split list in stored order; two neighbouring clips of a class share a source video (`group`)."""
    rows = [
        (split, name, f"videos/{name}/clip_{clip:03d}.mp4", f"{name} source {clip // 2}")
        for split in SPLITS
        for name in (f"{split} class {number:02d}" for number in range(classes.get(split, 0)))
        for clip in range(clips)
    ]
    return pd.DataFrame(rows, columns=list(splits.COLUMNS), dtype=str)


def toy_index(classes: Mapping[str, int] = CLASSES, clips: int = 8) -> pd.DataFrame:
    """A clip index of sound clips that no file stands behind: `classes` a split, `clips` a class."""
    index = toy_entries(classes, clips)
    index.insert(0, "row", range(len(index)))
    measured = dict(frames=30, fps=30.0, duration=1.0, height=64, width=64, decoder="decord")
    return index.assign(file=index.path, **measured, problem="", sha256="")


@dataclass(frozen=True)
class ToyDataset:
    """Where a toy data set lies.

    Attributes:
        cards: the folder that stands for workflow/datasets.
        data: the data root; the videos are in data/name.
        entries: its split list in stored order; the clip in row i shows the clip number i.
    """

    name: str
    cards: Path
    data: Path
    entries: pd.DataFrame

    @property
    def card_file(self) -> Path:
        return self.cards / self.name / "card.yaml"

    @property
    def split_file(self) -> Path:
        return self.cards / self.name / "split.tsv"

    @property
    def folder(self) -> Path:
        return self.data / self.name


def toy_card(name: str = "toy", **changes: Any) -> dict[str, Any]:
    """A valid card as plain data."""
    card = {
        "title": "Toy",
        "source": "drawn by tests.builders",
        "citation": "none",
        "licence": "MIT",
        "modality": "temporal",
        "folder": name,
        "split": {"format": "split_tsv", "file": "split.tsv"},
        "flip": True,
        "max_failures": 0.0,
    }
    return card | changes


def toy_dataset(
    root: Path,
    name: str = "toy",
    classes: Mapping[str, int] = FEW_CLASSES,
    clips: int = 2,
    frames: int = 30,
    height: int = 64,
    width: int = 64,
    videos: bool = True,
    **card: Any,
) -> ToyDataset:
    """A card, its split list and its bar-code videos below `root`; `card` overrides keys of the card."""
    import yaml

    made = ToyDataset(
        name, Path(root) / "workflow/datasets", Path(root) / "data", toy_entries(classes, clips)
    )
    made.card_file.parent.mkdir(parents=True, exist_ok=True)
    made.card_file.write_text(
        yaml.safe_dump(toy_card(name, **card), sort_keys=False), encoding="utf-8"
    )
    splits.write(made.split_file, made.entries)
    made.folder.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(made.entries.path if videos else ()):
        write_code_video(made.folder / path, frames, number, height, width)
    return made


def toy_frame_spec(**changes: Any) -> FrameSpec:
    """A small frame store's spec."""
    usual = dict(
        dataset="toy",
        card="0" * 12,
        count=8,
        policy="segment_centre",
        size=32,
        fit="crop",
        views=1,
        seed=0,
    )
    return FrameSpec(**(usual | changes))


def toy_feature_spec(frames: int = 8, views: int = 1, seed: int = 0, **changes: Any) -> FeatureSpec:
    """A small feature store's spec; `changes` are fields of FeatureSpec."""
    usual = dict(
        frames=toy_frame_spec(count=frames, views=views, seed=seed),
        backbone=BackboneSpec(name="demo_cnn", weights="trained:toy", version=1),
        cut="layer4",
        crop=32,
    )
    return FeatureSpec(**(usual | changes))


def toy_features(
    index: pd.DataFrame,
    frames: int = 8,
    dim: int = 16,
    height: int = 4,
    width: int = 4,
    views: int = 1,
    seed: int = 0,
    separation: float = 1.0,
    dtype: str = "float16",
) -> np.ndarray:
    """[clip view frames dim height width]: a class pattern [frames dim] times `separation` plus unit noise.

    As in the real stores, only training clips have something in the views 1.. and a clip with a problem is zero.
    """
    out = np.zeros((len(index), views, frames, dim, height, width), dtype)
    for position, clip in enumerate(index.to_dict("records")):
        if clip["problem"]:
            continue
        pattern = rng(seed, "toy class", clip["class"]).standard_normal((frames, dim, 1, 1))
        for view in range(views if clip["split"] == "train" else 1):
            noise = rng(seed, "toy clip", clip["path"], view).standard_normal(
                (frames, dim, height, width)
            )
            out[position, view] = separation * pattern + noise
    return out


def feature_plan(
    spec: FeatureSpec, shape: Iterable[int], clips: int, clips_per_job: int = FILE_CLIPS
) -> Plan:
    """The plan of a feature store whose clips have `shape` [frames dim height width]."""
    return Plan(
        layout=LAYOUT_VERSION,
        spec=spec.model_dump(mode="json"),
        clips=clips,
        views=spec.frames.views,
        shapes={"features": list(shape)},
        dtypes={"features": spec.dtype},
        clips_per_job=whole_files(clips_per_job),
    )


def array_blocks(
    values: np.ndarray, rows: range, index: pd.DataFrame | None = None
) -> Iterator[Block]:
    """The rows of an array [clip view ...] as a job's blocks; clips with a problem in `index` are its failures."""
    for start in range(rows.start, rows.stop, FILE_CLIPS):
        stop = min(start + FILE_CLIPS, rows.stop)
        broken = (
            []
            if index is None
            else index.iloc[start:stop].query("problem != ''").to_dict("records")
        )
        failures = [
            {"row": int(clip["row"]), "path": clip["path"], "problem": clip["problem"]}
            for clip in broken
        ]
        yield Block({"features": values[start:stop]}, failures)


def toy_feature_store(
    folder: Path,
    index: pd.DataFrame,
    spec: FeatureSpec | None = None,
    frames: int = 8,
    dim: int = 16,
    height: int = 4,
    width: int = 4,
    views: int = 1,
    seed: int = 0,
    separation: float = 1.0,
) -> tuple[Path, FeatureSpec]:
    """A sealed store of `toy_features`, made by plan, jobs and seal as the rules make it.

    Args:
        spec: decides frames, views and dtype where given; else `toy_feature_spec(frames, views, seed)`.
    """
    spec = toy_feature_spec(frames, views, seed) if spec is None else spec
    frames, views = spec.frames.count, spec.frames.views
    values = toy_features(index, frames, dim, height, width, views, seed, separation, spec.dtype)
    store = Path(folder) / spec.kind / spec.key
    plan = feature_plan(spec, values.shape[2:], len(index))
    create(store, plan)
    for job in range(plan.jobs):
        write_job(
            store,
            job,
            array_blocks(values, plan.rows(job), index),
            store / "receipts" / f"{job}.json",
        )
    seal(store, max_failures=1.0)
    return store, spec


def toy_episodes(
    batch: int = 2,
    way: int = 5,
    shot: int = 1,
    query: int = 2,
    frames: int = 8,
    dim: int = 16,
    height: int = 4,
    width: int = 4,
    seed: int = 0,
    separation: float = 1.0,
):
    """A batch of episodes (`EpisodeFeatures`) with `query` queries a class in random order."""
    import torch

    from fsar_core.episodes.loader import EpisodeFeatures

    random = rng(seed, "toy episodes")
    pattern = separation * random.standard_normal((batch, way, frames, dim, 1, 1))
    labels = np.stack([random.permutation(np.repeat(np.arange(way), query)) for _ in range(batch)])
    support = pattern[:, :, None] + random.standard_normal(
        (batch, way, shot, frames, dim, height, width)
    )
    of_class = np.take_along_axis(pattern, labels[:, :, None, None, None, None], axis=1)
    queries = of_class + random.standard_normal((batch, way * query, frames, dim, height, width))
    return EpisodeFeatures(
        support=torch.from_numpy(support.astype(np.float32)),
        query=torch.from_numpy(queries.astype(np.float32)),
        labels=torch.from_numpy(labels.astype(np.int64)),
    )
