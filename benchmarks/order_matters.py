"""Does the order of the frames decide in demo_temporal? 2-way 1-shot episodes of the two classes of a pair.

    python benchmarks/order_matters.py                       # on pixels, all 24 pairs
    python benchmarks/order_matters.py --run results/runs/X  # with a trained run of the demo, its test pairs

On pixels: 8 frames a clip, 12 x 16 luminance, the clip's mean frame taken off, compared frame by frame in order. With a
run: its head and metric on its feature store. Each is measured with the real order and with the frames of every clip
shuffled; shuffled must be chance (50 %), because the two of a pair differ by the order of their frames only.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from fsar_core.data import demo
from fsar_core.data.frame_sampling import frame_indices
from fsar_core.evaluation.statistics import Estimate, estimate
from fsar_core.runtime.seeding import rng


def pixel_features(name: str, clips: int, seed: int) -> np.ndarray:
    """float64 [clip frames values]: what is compared in the pixel version."""
    out = []
    for index in range(clips):
        video, _ = demo.draw_clip(
            "demo_temporal", name, seed, index, frames=24, height=48, width=64
        )
        frames = video[frame_indices("segment_centre", len(video), 8)].mean(-1)
        small = frames.reshape(8, 12, 4, 16, 4).mean((2, 4)).reshape(8, -1)
        out.append(small - small.mean(0))
    return np.stack(out)


def shuffled(clips: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Every clip [clip frames ...] with its frames in an order of its own."""
    order = np.argsort(random.random(clips.shape[:2]), axis=1)
    return np.stack([clip[o] for clip, o in zip(clips, order)])


def pair_accuracy(pair: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Share of right queries of every 2-way 1-shot episode of two classes [clip frames values], one query a class.

    All episodes are used: each clip once as support against each other clip as query. float64 [clips * (clips - 1)].
    """
    flat = [clips.reshape(len(clips), -1) for clips in pair]
    unit = [f / (np.linalg.norm(f, axis=1, keepdims=True) + 1e-9) for f in flat]
    own = [u @ u.T for u in unit]
    cross = unit[0] @ unit[1].T
    found = []
    for support in range(len(cross)):
        for query in range(len(cross)):
            if support != query:
                first = own[0][query, support] > cross[query, support]
                second = own[1][query, support] > cross[support, query]
                found.append((float(first) + float(second)) / 2)
    return np.array(found)


def on_pixels(clips: int, seed: int) -> tuple[Estimate, Estimate]:
    """(real order, shuffled) over all pairs; intervals are over pairs, the independent unit."""
    real, mixed = [], []
    for forward, backward in demo.pairs("demo_temporal"):
        pair = tuple(pixel_features(name, clips, seed) for name in (forward, backward))
        random = rng(seed, "order", forward)
        real.append(pair_accuracy(pair).mean())
        mixed.append(pair_accuracy(tuple(shuffled(clips_, random) for clips_ in pair)).mean())
    return estimate(np.array(real)), estimate(np.array(mixed))


def with_run(run: Path, stores: Path, episodes: int) -> tuple[Estimate, Estimate]:
    """(real order, shuffled) of a trained run on 2-way episodes of its test pairs."""
    import torch

    from fsar_core.data.index import read_index
    from fsar_core.episodes.loader import EpisodeFeatures, FeatureBank
    from fsar_core.episodes.sampler import Split, sample
    from fsar_core.evaluation.results import read_summary
    from fsar_core.models.episode_model import build_model
    from fsar_core.specs import RunSpec
    from fsar_core.storage import checkpoint
    from fsar_core.stores.reader import StoreReader

    spec = RunSpec.model_validate(read_summary(run)["spec"])
    reader = StoreReader(stores / "features" / spec.features.key, "features", spec.features)
    index_file = stores / "index" / f"{spec.features.dataset}.{spec.features.frames.card}.tsv"
    split = Split.from_index(read_index(index_file), "test")
    model = build_model(
        spec, torch.nn.Identity(), reader.clip_shape[1], reader.clip_shape[0]
    ).eval()
    trained = run.parents[1] / "models" / spec.model.model_id / "checkpoint.pt"
    model.load_learned(checkpoint.load(trained, spec.model.digest)["model"])
    bank = FeatureBank(reader, np.concatenate(split.rows), memory_gib=2.0)
    pairs = [pair for pair in demo.pairs("demo_temporal") if pair[0] in split.classes]
    scores: dict[bool, list[float]] = {False: [], True: []}
    for number in range(episodes):
        chosen = [split.classes.index(name) for name in pairs[number % len(pairs)]]
        two = Split(
            "test",
            *(tuple(part[c] for c in chosen) for part in (split.classes, split.rows, split.groups)),
        )
        batch = bank.batch([sample(spec.seed, two, 2, spec.test.shot, 1, number)])
        for mix in (False, True):
            support, query = batch.support.clone(), batch.query.clone()
            if mix:
                random = rng(spec.seed, "shuffle", number)
                for clip in [*support[0].flatten(0, 1), *query[0]]:
                    clip[:] = clip[torch.from_numpy(random.permutation(len(clip)))]
            with torch.inference_mode():
                logits, _ = model(EpisodeFeatures(support, query, batch.labels))
            scores[mix].append(float((logits.argmax(-1) == batch.labels).float().mean()))
    return estimate(np.array(scores[False])), estimate(np.array(scores[True]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clips", type=int, default=12, help="clips a class, on pixels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--run", type=Path, help="folder of a trained run on demo_temporal")
    parser.add_argument("--stores", type=Path, default=Path("stores"))
    parser.add_argument("--episodes", type=int, default=1000)
    args = parser.parse_args()
    name = args.run.name if args.run else "pixels"
    real, mixed = (
        with_run(args.run, args.stores, args.episodes)
        if args.run
        else on_pixels(args.clips, args.seed)
    )
    print(
        f"{name}: real order {real.mean:.1f} ± {real.ci95:.1f} %, shuffled {mixed.mean:.1f} ± {mixed.ci95:.1f} % (chance 50 %)"
    )


if __name__ == "__main__":
    main()
