"""Episodes: which clips are support and which are queries. Episode i is a function of seed, split and i.

Source: the episodic protocol of DMGAL III-A: N classes without replacement, then K + Q clips of each without replacement.
Differs: public code draws from one unrecorded stream, so that episodes repeat across workers and differ between
evaluations; here every episode is addressable by its number, on any worker, in any order.

All clips of a class are equally likely as support and as queries, unless `group_disjoint` is set and the source
videos of the class differ in size. Sources are then drawn clip by clip, so that large ones come first and fill the
support, and while a source is in the support none of its clips can be a query. With one shot and one query, clips
stay equally likely as support, and a clip of a source with n_s of all N clips is a query

    sum over the other sources t of n_t / (N - n_t)

times as often as if all clips were equally likely. More shots make the difference larger:

| clips of the sources of a class      | shot | large source | others       |
|--------------------------------------|------|--------------|--------------|
| 24 sources of 4 to 7 (as in UCF101)  | 1, 5 | 0.88 to 1.09 | 0.88 to 1.09 |
| one of 8, 8 of 1                     | 1    | 0.53         | 1.47         |
| one of 16, 8 of 1                    | 1    | 0.35         | 2.30         |
| one of 16, 8 of 1                    | 5    | 0.0017       | 3.00         |

(One query a class; UCF101 also with five.) Accuracies are then mostly those of clips from small sources. To avoid
this, list at most as many clips of a source as the smallest sources have. The draw itself stays as it is, because
another one would change every frozen table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from fsar_core.errors import FsarError
from fsar_core.runtime.seeding import rng
from fsar_core.storage.provenance import digest


@dataclass(frozen=True)
class Split:
    """The usable clips of one split.

    Attributes:
        classes: class names; the position in this list is the class id.
        rows: for each class, the store rows of its clips, ascending.
        groups: for each class, the source-video id of each of these clips ("" where unknown: a source of its own).
    """

    name: str
    classes: tuple[str, ...]
    rows: tuple[np.ndarray, ...]
    groups: tuple[np.ndarray, ...]

    @property
    def content(self) -> str:
        """SHA-256 of the clips: for each class its name, and row and source of each clip."""
        parts = zip(self.classes, self.rows, self.groups)
        return digest(
            [[name, rows.tolist(), list(map(str, groups))] for name, rows, groups in parts],
            length=64,
        )

    @classmethod
    def from_index(
        cls,
        index: pd.DataFrame,
        name: str,
        failed: frozenset[int] = frozenset(),
        max_seconds: float | None = None,
        least: int = 0,
    ) -> Split:
        """The split `name` of a clip index without the clips in `failed` or with a problem.

        Args:
            max_seconds: only clips whose duration is known and no longer; classes with fewer than `least` of them are left
                out. FsarError where no class is left.
        """
        part = index[(index.split == name) & (index.problem == "") & ~index.row.isin(failed)]
        classes = tuple(sorted(index["class"][index.split == name].unique()))
        if not classes:
            raise FsarError(f"the split '{name}' has no class; check the split list")
        if max_seconds is not None:
            part = part[(part.duration > 0) & (part.duration <= max_seconds)]
            counts = part["class"].value_counts()
            classes = tuple(c for c in classes if counts.get(c, 0) >= least)
            if not classes:
                raise FsarError(
                    f"no class of the split '{name}' has {least} clips of at most {max_seconds:g} s; raise the limit or lower "
                    f"shot and query"
                )
        by_class = [part[part["class"] == c] for c in classes]
        rows = tuple(clips.row.to_numpy(np.int64) for clips in by_class)
        groups = tuple(
            np.array([g or f"row {r}" for g, r in zip(c.group, c.row)], dtype=object)
            for c in by_class
        )
        return cls(name, classes, rows, groups)


@dataclass(frozen=True)
class Episode:
    """One few-shot task.

    Attributes:
        classes: int64 [way], class ids of the split; position = episode label.
        support: int64 [way shot], store rows.
        query: int64 [way * query], store rows, shuffled.
        labels: int64 [way * query], episode-local labels 0..way-1 of the queries.
        views: stored view of every support and query clip; None is view 0, the deterministic test view.
        augmentation: seed of what is drawn for the clips when they are cut from frames; None is the centre crop.
    """

    classes: np.ndarray
    support: np.ndarray
    query: np.ndarray
    labels: np.ndarray
    views: tuple[np.ndarray, np.ndarray] | None = None
    augmentation: int | None = None

    def for_training(self, views: tuple[Sequence[int], Sequence[int]], seed: int) -> Episode:
        """The same episode with a stored view drawn for every clip, among those of its side, and a seed to augment it by."""
        random = np.random.default_rng(seed)
        drawn = tuple(
            random.choice(v, of.shape) for v, of in zip(views, (self.support, self.query))
        )
        return replace(self, views=drawn, augmentation=seed)


def sample(
    seed: int,
    split: Split,
    way: int,
    shot: int,
    query: int,
    index: int,
    *,
    group_disjoint: bool = False,
) -> Episode:
    """Episode number `index`.

    Args:
        query: queries per class.
        group_disjoint: no source video gives both a support and a query clip. Clips of large sources are then
            queries less often than others (see the top of this module).
    Raises:
        FsarError: fewer classes than `way`, or a class with too few clips (or source videos) for shot + query.
    """
    check(split, way, shot, query)
    return drawn(seed, split, way, shot, query, index, group_disjoint)


def drawn(
    seed: int, split: Split, way: int, shot: int, query: int, index: int, group_disjoint: bool
) -> Episode:
    """`sample` without its check of sizes, for many episodes of one split."""
    random, clips = rng(seed, "episode", split.name, way, shot, query, index), shot + query
    classes = random.choice(len(split.classes), size=way, replace=False)
    chosen = np.empty((way, clips), np.int64)
    for label, class_id in enumerate(classes.tolist()):
        rows = split.rows[class_id]
        order = random.permutation(len(rows))
        if group_disjoint:
            order = _disjoint(order, split.groups[class_id], shot, query)
            if order is None:
                check(split, way, shot, query, group_disjoint=True)
        chosen[label] = rows[order[:clips]]
    shuffled = random.permutation(way * query)
    # Query number i of a class comes behind all those of the classes before it.
    queries, labels = chosen[:, shot:].reshape(-1)[shuffled], shuffled // query
    return Episode(classes.astype(np.int64, copy=False), chosen[:, :shot], queries, labels)


def check(split: Split, way: int, shot: int, query: int, *, group_disjoint: bool = False) -> None:
    """FsarError where episodes of this shape cannot be drawn from the split."""
    if min(way, shot, query) < 1:
        raise FsarError(f"way {way}, shot {shot}, query {query}: each must be at least 1")
    if len(split.classes) < way:
        raise FsarError(
            f"split '{split.name}' has {len(split.classes)} classes, {way}-way episodes need {way}; lower `way`"
        )
    for name, rows, groups in zip(split.classes, split.rows, split.groups):
        if len(rows) < shot + query:
            raise FsarError(
                f"class '{name}' of split '{split.name}' has {len(rows)} usable clips, {shot}-shot episodes with {query} "
                f"queries a class need {shot + query}; lower shot or query, or remove the class from the split list"
            )
        if group_disjoint and _disjoint(np.arange(len(rows)), groups, shot, query) is None:
            raise FsarError(
                f"class '{name}' of split '{split.name}': {len(rows)} clips of {len(set(groups))} source videos cannot give "
                f"{shot} support and {query} query clips of different sources; lower shot or query, or set "
                f"`group_disjoint: false`"
            )


def _disjoint(order: np.ndarray, groups: np.ndarray, shot: int, query: int) -> np.ndarray | None:
    """`shot` positions, then `query` positions of other source videos, in the random order of `order`; None if impossible.

    Whole sources go to the support until it is full, the rest serves the queries. Where the random order leaves too few
    queries, the sources with the smallest sufficient sum are taken instead, so that nothing drawable is refused.
    """
    sources: dict[object, list[int]] = {}
    for position in order:
        sources.setdefault(groups[position], []).append(int(position))
    clips = list(sources.values())
    sizes = np.array([len(source) for source in clips])
    taken = np.arange(int(np.searchsorted(np.cumsum(sizes), shot)) + 1)
    if len(taken) > len(clips) or sizes.sum() - sizes[taken].sum() < query:
        subset_of_sum: dict[int, list[int]] = {0: []}
        for number, size in enumerate(sizes):
            for total, members in list(subset_of_sum.items()):
                if total < shot:
                    subset_of_sum.setdefault(total + int(size), [*members, number])
        enough = [total for total in subset_of_sum if total >= shot]
        if not enough or sizes.sum() - min(enough) < query:
            return None
        taken = np.array(subset_of_sum[min(enough)])
    support = [p for number in taken for p in clips[number]]
    queries = [
        p
        for number, source in enumerate(clips)
        if number not in set(taken.tolist())
        for p in source
    ]
    return np.array(support[:shot] + queries[:query])
