from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsar_core.episodes.sampler import Episode, Split, check, sample
from fsar_core.errors import FsarError
from tests.builders import toy_index

quick = settings(max_examples=60, deadline=None)


def split_of(sizes, groups=None, name="test") -> Split:
    """Classes of the given sizes; rows are not contiguous, so that a row number is not mistaken for a position."""
    starts = np.cumsum([0, *sizes])[:-1]
    rows = tuple(1000 + 3 * np.arange(start, start + size) for start, size in zip(starts, sizes))
    if groups is None:
        groups = [[f"row {row}" for row in part] for part in rows]
    return Split(
        name=name,
        classes=tuple(f"class {number}" for number in range(len(sizes))),
        rows=rows,
        groups=tuple(np.array(part, dtype=object) for part in groups),
    )


def sources(sizes) -> list[str]:
    """The source of every clip, where source i gave sizes[i] clips."""
    return [f"source {number}" for number, size in enumerate(sizes) for _ in range(size)]


def as_text(episode: Episode) -> str:
    return str(
        [
            part.tolist()
            for part in (episode.classes, episode.support, episode.query, episode.labels)
        ]
    )


def chi_square(counts: np.ndarray) -> float:
    expected = counts.sum() / counts.size
    return float(((counts - expected) ** 2 / expected).sum())


@st.composite
def tasks(draw):
    way, shot, query = draw(st.integers(1, 5)), draw(st.integers(1, 5)), draw(st.integers(1, 4))
    extra = draw(st.lists(st.integers(0, 6), min_size=way, max_size=way + 4))
    return split_of([shot + query + more for more in extra]), dict(way=way, shot=shot, query=query)


@quick
@given(tasks(), st.integers(0, 2**40), st.integers(0, 2**30))
def test_an_episode_is_what_it_promises(task, seed, index):
    split, shape = task
    way, shot, query = shape["way"], shape["shot"], shape["query"]
    episode = sample(seed, split, index=index, **shape)
    assert episode.classes.shape == (way,) and episode.support.shape == (way, shot)
    assert episode.query.shape == episode.labels.shape == (way * query,)
    assert {
        part.dtype for part in (episode.classes, episode.support, episode.query, episode.labels)
    } == {np.dtype(np.int64)}
    assert len(set(episode.classes.tolist())) == way
    assert sorted(episode.labels.tolist()) == sorted(list(range(way)) * query)
    used = [*episode.support.reshape(-1).tolist(), *episode.query.tolist()]
    assert len(set(used)) == way * (shot + query)
    for label, class_id in enumerate(episode.classes):
        of_class = set(split.rows[class_id].tolist())
        assert set(episode.support[label].tolist()) <= of_class
        assert set(episode.query[episode.labels == label].tolist()) <= of_class
    assert episode.views is None


@quick
@given(tasks(), st.integers(0, 2**40), st.lists(st.integers(0, 50), min_size=1, max_size=5))
def test_an_episode_depends_on_its_arguments_only(task, seed, before):
    split, shape = task
    expected = as_text(sample(seed, split, index=7, **shape))
    for index in before:
        sample(seed, split, index=index, **shape)
    np.random.seed(before[0])
    np.random.random(before[0] + 1)
    assert as_text(sample(seed, split, index=7, **shape)) == expected


@pytest.mark.parametrize(
    "changed",
    [dict(seed=1), dict(index=4), dict(shot=2), dict(query=2), dict(way=4), dict(name="val")],
    ids=str,
)
def test_every_argument_names_another_stream(changed):
    usual = dict(seed=0, index=3, way=3, shot=1, query=1, name="test")

    def first_class_and_clip(name, **arguments):
        episodes = [
            sample(
                split=split_of([40] * 12, name=name),
                **arguments | {"index": arguments["index"] + 100 * i},
            )
            for i in range(8)
        ]
        return [(int(e.classes[0]), int(e.support[0, 0])) for e in episodes]

    assert first_class_and_clip(**usual) == first_class_and_clip(**usual)
    assert first_class_and_clip(**usual) != first_class_and_clip(**usual | changed)


def test_golden_episode():
    """A change of this stream changes every frozen table: it needs another seed or version, and a note to the user."""
    split = Split.from_index(toy_index(), "test")
    episode = sample(0, split, way=3, shot=2, query=2, index=0)
    assert (
        as_text(episode)
        == "[[0, 3, 4], [[89, 94], [112, 116], [120, 125]], [126, 121, 118, 115, 92, 95], [2, 2, 1, 1, 0, 0]]"
    )
    episode = sample(5, split, way=3, shot=1, query=1, index=9999, group_disjoint=True)
    assert as_text(episode) == "[[4, 0, 2], [[126], [92], [109]], [90, 105, 120], [1, 2, 0]]"


def test_different_indices_give_different_episodes():
    split = split_of([10] * 8)
    drawn = {as_text(sample(0, split, 5, 1, 1, index)) for index in range(300)}
    assert len(drawn) == 300


def test_classes_clips_and_positions_are_drawn_uniformly():
    split = split_of([6] * 6)
    positions = {int(row): position for position, row in enumerate(np.concatenate(split.rows))}
    episodes = [sample(3, split, 3, 1, 2, index) for index in range(3000)]
    classes = np.stack([e.classes for e in episodes])
    for label in range(3):
        # 20.5: 99.9 % of chi-square with 5 degrees of freedom.
        assert chi_square(np.bincount(classes[:, label], minlength=6)) < 20.5
    support = np.concatenate([e.support.reshape(-1) for e in episodes])
    query = np.concatenate([e.query for e in episodes])
    for rows in (support, query):
        # 66.6: 99.9 % with 35 degrees of freedom.
        assert chi_square(np.bincount([positions[int(row)] for row in rows], minlength=36)) < 66.6
    labels = np.stack([e.labels for e in episodes])
    for place in range(6):
        # 13.8: 99.9 % with 2 degrees of freedom; the queries' order says nothing about their class.
        assert chi_square(np.bincount(labels[:, place], minlength=3)) < 13.8
    # Two queries of a class and its support clip are no fixed triple: all 15 pairs of other clips occur.
    pairs = {tuple(sorted(e.query[e.labels == 0].tolist())) for e in episodes if e.classes[0] == 0}
    assert len(pairs) == 15


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=7),
    st.integers(1, 6),
    st.integers(1, 6),
    st.integers(0, 10**6),
)
def test_group_disjoint_against_all_subsets(sizes, shot, query, index):
    split = split_of([sum(sizes)], [sources(sizes)])
    choices = product((False, True), repeat=len(sizes))
    sums = (sum(size for size, taken in zip(sizes, choice) if taken) for choice in choices)
    possible = any(total >= shot and sum(sizes) - total >= query for total in sums)
    shape = dict(way=1, shot=shot, query=query, group_disjoint=True)
    if not possible:
        with pytest.raises(FsarError, match="class 'class 0' of split 'test'"):
            sample(0, split, index=index, **shape)
        with pytest.raises(FsarError):
            check(split, **shape)
        return
    check(split, **shape)
    episode = sample(0, split, index=index, **shape)
    source_of = dict(zip(split.rows[0].tolist(), split.groups[0]))
    assert (
        len(set(episode.support[0].tolist())) == shot and len(set(episode.query.tolist())) == query
    )
    support = {source_of[row] for row in episode.support[0].tolist()}
    assert support.isdisjoint(source_of[row] for row in episode.query.tolist())


@quick
@given(tasks(), st.integers(0, 100))
def test_group_disjoint_without_groups_takes_any_clips(task, index):
    split, shape = task
    episode = sample(0, split, index=index, group_disjoint=True, **shape)
    assert len({*episode.support.reshape(-1).tolist(), *episode.query.tolist()}) == shape["way"] * (
        shape["shot"] + shape["query"]
    )


UNEVEN = [16] + [1] * 8


def query_counts(sizes, shot: int, episodes: int) -> tuple[np.ndarray, np.ndarray]:
    """How often each clip of a class whose sources have `sizes` clips is support and the one query."""
    split = split_of([sum(sizes)], [sources(sizes)])
    position = {int(row): number for number, row in enumerate(split.rows[0])}
    drawn = [sample(0, split, 1, shot, 1, index, group_disjoint=True) for index in range(episodes)]
    support = [position[int(row)] for episode in drawn for row in episode.support[0]]
    query = [position[int(row)] for episode in drawn for row in episode.query]
    return np.bincount(support, minlength=sum(sizes)), np.bincount(query, minlength=sum(sizes))


@pytest.mark.parametrize("sizes", [UNEVEN, [8] + [1] * 8, [5, 4, 3, 3, 1]], ids=str)
def test_how_often_clips_of_large_sources_are_queries(sizes):
    """The formula at the top of the module, with one shot and one query."""
    total = sum(sizes)
    factor = [
        sum(t / (total - t) for j, t in enumerate(sizes) if j != i) for i in range(len(sizes))
    ]
    support, query = query_counts(sizes, shot=1, episodes=6000)
    expected = np.repeat(factor, sizes) * 6000 / total
    assert expected.sum() == pytest.approx(6000)
    # 49.7: 99.9 % of chi-square with 23 degrees of freedom, the most that there are here.
    assert chi_square(support) < 49.7
    assert ((query - expected) ** 2 / expected).sum() < 49.7
    if sizes == UNEVEN:
        assert (factor[0], factor[1]) == (
            pytest.approx(0.348, abs=0.001),
            pytest.approx(2.304, abs=0.001),
        )


def test_at_five_shots_clips_of_a_large_source_are_hardly_ever_queries():
    """Only if the first five sources are small ones: (8/24)(7/23)(6/22)(5/21)(4/20), and then in 16 of 19 cases."""
    probability = 8 / 24 * 7 / 23 * 6 / 22 * 5 / 21 * 4 / 20 * 16 / 19
    assert (probability / 16 * 24, (1 - probability) / 8 * 24) == (
        pytest.approx(0.0017, abs=1e-4),
        pytest.approx(3, abs=0.01),
    )
    _, query = query_counts(UNEVEN, shot=5, episodes=6000)
    # 6.7 are expected; none or more than 17 happen in 1 of 650 cases.
    assert 1 <= query[:16].sum() <= 17
    # 24.3: 99.9 % with 7 degrees of freedom: the small sources are equally likely.
    assert chi_square(query[16:]) < 24.4


def test_group_disjoint_reaches_every_source_and_is_not_the_default():
    split = split_of([8], [sources([2, 2, 2, 2])])
    source_of = dict(zip(split.rows[0].tolist(), split.groups[0]))
    shape = dict(way=1, shot=2, query=1)
    episodes = [sample(0, split, index=i, group_disjoint=True, **shape) for i in range(200)]
    assert {row for e in episodes for row in e.support[0].tolist()} == set(split.rows[0].tolist())
    assert {row for e in episodes for row in e.query.tolist()} == set(split.rows[0].tolist())
    meet = [
        not {source_of[r] for r in e.support[0].tolist()}.isdisjoint(
            source_of[r] for r in e.query.tolist()
        )
        for e in (sample(0, split, index=i, **shape) for i in range(200))
    ]
    assert 20 < sum(meet) < 180


@pytest.mark.parametrize("draw", [lambda split, **shape: sample(0, split, index=0, **shape), check])
@pytest.mark.parametrize(
    ("sizes", "shape", "words"),
    [
        (
            [9, 4, 9],
            (2, 3, 2),
            ["class 'class 1'", "split 'test'", "4 usable clips", "3-shot", "2 queries", "need 5"],
        ),
        ([9, 9], (3, 1, 1), ["split 'test'", "2 classes", "3-way", "need 3", "lower `way`"]),
        ([9, 9], (2, 0, 1), ["shot 0", "at least 1"]),
    ],
    ids=["clips", "classes", "zero"],
)
def test_impossible_episodes_are_refused_in_one_line(draw, sizes, shape, words):
    with pytest.raises(FsarError) as caught:
        draw(split_of(sizes), way=shape[0], shot=shape[1], query=shape[2])
    assert "\n" not in str(caught.value)
    assert [word for word in words if word not in str(caught.value)] == []


def test_too_few_sources_are_named():
    split = split_of([6, 6], [sources([1] * 6), sources([5, 1])])
    check(split, 2, 2, 2)
    with pytest.raises(FsarError) as caught:
        check(split, 2, 2, 2, group_disjoint=True)
    for word in (
        "class 'class 1'",
        "split 'test'",
        "6 clips of 2 source videos",
        "2 support and 2 query",
        "group_disjoint",
    ):
        assert word in str(caught.value)


def test_split_of_an_index():
    index = toy_index({"train": 1, "val": 1, "test": 2}, clips=3)
    # rows 0-2 train, 3-5 val, 6-8 and 9-11 test
    index.loc[7, "problem"] = "no such file"
    index.loc[[9, 10], "group"] = ""
    split = Split.from_index(index, "test", failed=frozenset({11}))
    assert split.name == "test"
    assert split.classes == ("test class 00", "test class 01")
    assert [rows.tolist() for rows in split.rows] == [[6, 8], [9, 10]]
    assert [rows.dtype for rows in split.rows] == [np.int64, np.int64]
    assert split.groups[0].tolist() == ["test class 00 source 0", "test class 00 source 1"]
    assert split.groups[1][0] != split.groups[1][1]


def test_a_class_without_a_usable_clip_stays_and_is_refused():
    index = toy_index({"train": 1, "val": 1, "test": 2}, clips=3)
    split = Split.from_index(index, "test", failed=frozenset({6, 7, 8}))
    assert split.classes == ("test class 00", "test class 01")
    with pytest.raises(FsarError, match="class 'test class 00' of split 'test' has 0 usable clips"):
        sample(0, split, 2, 1, 1, 0)


def test_a_split_without_classes_is_refused():
    with pytest.raises(FsarError, match="split 'val' has no class"):
        Split.from_index(toy_index({"train": 2, "test": 2}), "val")


@quick
@given(st.integers(1, 5), st.integers(0, 100))
def test_views_are_drawn_for_every_clip(count, seed):
    episode = sample(0, split_of([9] * 4), 3, 2, 2, 0)
    viewed = episode.for_training((range(count), range(count, 2 * count)), seed)
    assert as_text(viewed) == as_text(episode)
    support, query = viewed.views
    assert support.shape == episode.support.shape and query.shape == episode.query.shape
    assert set(support.reshape(-1).tolist()) <= set(range(count))
    assert set(query.tolist()) <= set(range(count, 2 * count))
    assert viewed.augmentation == seed
    assert episode.views is None and episode.augmentation is None


def test_all_views_occur():
    episode = sample(0, split_of([9] * 4), 3, 2, 2, 0)
    drawn = [episode.for_training(((0, 1, 2), (1, 3)), seed).views for seed in range(30)]
    assert {int(view) for support, _ in drawn for view in support.reshape(-1)} == {0, 1, 2}
    assert {int(view) for _, query in drawn for view in query} == {1, 3}


def test_clips_of_at_most_so_many_seconds():
    """Durations decide, unknown ones are out, and so are classes that are left with too few clips."""
    index = toy_index({"train": 3, "val": 1, "test": 1}, clips=4)
    index["duration"] = [1.0, 2.0, 3.0, 4.0, 2.5, 3.5, 0.0, 9.0, 1.0, 1.0, 1.0, 1.0] + [1.0] * 8
    short = Split.from_index(index, "train", max_seconds=3.0, least=2)
    assert short.classes == ("train class 00", "train class 02")
    assert [rows.tolist() for rows in short.rows] == [[0, 1, 2], [8, 9, 10, 11]]
    loose = Split.from_index(index, "train", max_seconds=3.0, least=1)
    assert [rows.tolist() for rows in loose.rows] == [[0, 1, 2], [4], [8, 9, 10, 11]]
    assert Split.from_index(index, "train", frozenset({9, 10, 11}), 3.0, 2).classes == (
        "train class 00",
    )
    with pytest.raises(
        FsarError,
        match=r"^no class of the split 'train' has 5 clips of at most 3 s; raise the limit",
    ):
        Split.from_index(index, "train", max_seconds=3.0, least=5)
