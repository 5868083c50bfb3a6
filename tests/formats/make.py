"""Writes one small example of everything that lies under stores/ and results/, by the verbs that the rules call.

    python -m tests.formats.make tests/formats/NAME

Run once for every layout, before it is released; what it wrote is kept and opened for ever by `test_formats.py`.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np

from fsar_core.__main__ import main
from fsar_core.data.index import write_index
from fsar_core.specs import (
    ClassifierSpec,
    Component,
    EpisodeSpec,
    MaskSpec,
    RunSpec,
    SaliencySpec,
    TrainingSpec,
)
from fsar_core.store_kinds import frames as frame_store
from fsar_core.store_kinds import masks as masks_store
from fsar_core.store_kinds import saliency as saliency_store
from fsar_core.stores import layout, manifest, writer
from fsar_core.stores.reader import StoreReader
from tests.builders import (
    array_blocks,
    feature_plan,
    toy_feature_spec,
    toy_features,
    toy_frame_spec,
    toy_index,
)

BROKEN = 2  # a row that holds nothing
FRAMES = toy_frame_spec(count=2, size=16)
FEATURES = toy_feature_spec(frames=2).model_copy(update={"frames": FRAMES, "crop": 16})
CLASSIFIER = ClassifierSpec(
    features=FEATURES, epochs=1, batch=8, lr=0.01, weight_decay=0.0, hidden=4, dropout=0.0, kernel=1, rectified=True,
    loss="cross_entropy", seed=0,
)  # fmt: skip
SALIENCY = SaliencySpec(classifier=CLASSIFIER)
MASKS = MaskSpec(
    frames=FRAMES, provider=Component(name="annotated"), source="masks/{video}.png", version=1
)


def episodes(split: str) -> EpisodeSpec:
    shape = dict(way=2, shot=1, query=1, count=6)
    return EpisodeSpec(
        dataset="toy", card="0" * 12, split=split, seed=0, group_disjoint=False, **shape
    )


def run_spec() -> RunSpec:
    """Plain TRX on features, so that a checkpoint holds something."""
    training = TrainingSpec(
        episodes=4, batch=1, accumulate=1, query=1, optimizer="adam", lr=0.01, weight_decay=0.0, warmup=0,
        schedule="constant", validations=2,
    )  # fmt: skip
    return RunSpec(
        features=FEATURES,
        head=Component(name="identity"),
        matching=Component(name="trx", params={"cardinalities": [2], "out_dim": 4}),
        training=training,
        train_shot=1,
        validation=episodes("val"),
        test=episodes("test"),
        seed=0,
    )


def index():
    found = toy_index({"train": 2, "val": 2, "test": 2}, clips=3)
    found.loc[BROKEN, "problem"] = "unreadable: empty file"
    return found


def stores(root: Path) -> dict[str, str]:
    """Frames, features, masks and saliency; the SHA-256 of what a reader gets of each."""
    clips, train = index(), index().query("split == 'train'")
    pictures = np.arange(len(clips), dtype=np.uint8)[
        :, None, None, None, None, None
    ] * 9 + np.zeros((len(clips), 1, 2, 16, 16, 3), np.uint8)
    pictures[..., 3:9, 2:12, 1] += 40
    soft = (pictures[: len(train), ..., 1] > pictures[: len(train), ..., 0]).astype(np.uint8) * 255
    values = toy_features(clips, 2, 4, 2, 2, separation=0.5)
    actionness = values.astype(np.float32).sum((-3, -2, -1))
    pictures[BROKEN] = soft[BROKEN] = 0
    found = {}
    for spec, plan, array in (
        (FRAMES, frame_store.plan(FRAMES, clips, 64), pictures),
        (FEATURES, feature_plan(FEATURES, values.shape[2:], len(clips)), values),
        (MASKS, masks_store.plan(MASKS, clips, 64), soft),
        (SALIENCY, saliency_store.plan(SALIENCY, len(clips), 64), actionness),
    ):
        store = root / spec.kind
        layout.create(store, plan)
        blocks = (
            writer.Block({array_of(spec): block.arrays["features"]}, block.failures)
            for block in array_blocks(array, plan.rows(0), clips)
        )
        writer.write_job(store, 0, blocks, store / "receipts" / "0.json")
        manifest.seal(store, max_failures=0.2)
        found[spec.kind] = content(store, spec)
    return found


def array_of(spec) -> str:
    """The name of a store's array."""
    return "actionness" if spec.kind == "saliency" else spec.kind


def content(store: Path, spec) -> str:
    """SHA-256 of every clip that a store serves, in the order of its rows."""
    reader = StoreReader(store, array_of(spec), spec)
    sound = [row for row in range(reader.clips) if row not in reader.failed]
    return hashlib.sha256(reader.read(np.array(sound)).tobytes()).hexdigest()


def make(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    write_index(root / "index.tsv", index())
    sums, run = stores(root), run_spec()
    for spec in (run.validation, run.test):
        verb("draw-episodes", spec=spec.json_text, index=root / "index.tsv", frames=root / "frames",
             out=root / f"{spec.split}.npz")  # fmt: skip
    verb("train", spec=run.model.json_text, features=root / "features", index=root / "index.tsv",
         validation=root / "val.npz", checkpoint=root / "model/checkpoint.pt", history=root / "model/history.csv")  # fmt: skip
    evaluate(root, root / "run", run, root / "model/checkpoint.pt")
    expected = {"stores": sums, "run": json.loads(run.json_text)}
    (root / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


def evaluate(root: Path, out: Path, run: RunSpec, trained: Path) -> None:
    """Test a checkpoint on the kept episodes and features."""
    verb("evaluate", spec=run.json_text, features=root / "features", episodes=root / "test.npz", checkpoint=trained,
         queries=out / "queries.csv.gz", summary=out / "summary.json")  # fmt: skip


def verb(name: str, **options) -> None:
    words = [
        word
        for key, value in options.items()
        for word in (f"--{key.replace('_', '-')}", str(value))
    ]
    status = main([name, *words])
    if status:
        raise SystemExit(status)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
