"""Cards: what belongs to the identity of a data set, and what a wrong card is told."""

from __future__ import annotations

import pytest
import yaml

from fsar_core.__main__ import main
from fsar_core.config import SPLITS, Card, DemoVideos, load
from fsar_core.data import cards, splits
from fsar_core.data.files import FileFinder
from fsar_core.errors import FsarError
from fsar_core.specs import TrainingSpec
from tests.builders import toy_card, toy_dataset
from tests.data import published

SIZES = DemoVideos(clips={"train": 2, "val": 1, "test": 1}, frames=16, height=64, width=96, jobs=2)


def _load(made, sizes=SIZES, seed=0):
    return cards.load_dataset(made.cards, made.name, made.data, sizes, seed)


def _change(made, **changes):
    """The data set's digest after some keys of its card changed."""
    made.card_file.write_text(yaml.safe_dump(toy_card(made.name) | changes))
    return _load(made).digest


def _failure(call) -> str:
    with pytest.raises(FsarError) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture
def made(tmp_path):
    return toy_dataset(tmp_path, videos=False)


def test_load(made):
    found = _load(made)
    assert found.name == "toy" and found.card.title == "Toy" and found.folder == made.data / "toy"
    assert len(found) == 8 and found.clips.to_numpy().tolist() == made.entries.to_numpy().tolist()
    assert len(found.digest) == 12 and found.digest == _load(made).digest


def test_the_split_list_may_lie_beside_the_videos(made):
    before = _load(made).digest
    made.split_file.rename(made.folder / "split.tsv")
    assert _load(made).digest == before


def test_digest_ignores_words_and_thresholds(made):
    before = _load(made).digest
    changes = dict(
        title="Other",
        source="elsewhere",
        citation="x",
        licence="CC0",
        max_failures=0.5,
        modality="spatial",
    )
    assert _change(made, **changes) == before
    assert _change(made, expected={"train": [2, 4]}) == before


def test_digest_ignores_the_order_of_lines(made):
    before = _load(made).digest
    splits.write(made.split_file, made.entries.iloc[::-1])
    assert _load(made).digest == before


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("split", "test"),
        ("class", "train class 0x"),
        ("path", "videos/other.mp4"),
        ("group", "another source"),
    ],
)
def test_digest_knows_every_field_of_the_split_list(made, column, value):
    before = _load(made).digest
    entries = made.entries.copy()
    entries.loc[entries["class"] == "train class 01", column] = value
    splits.write(made.split_file, entries.drop_duplicates("path"))
    changed = _load(made).digest
    # Fewer clips is one change, the new value another.
    splits.write(
        made.split_file,
        made.entries[made.entries["path"].isin(entries.drop_duplicates("path")["path"])],
    )
    assert (
        len({before, changed, _load(made).digest}) == 3 if column == "path" else changed != before
    )


def test_digest_knows_flips_the_folder_and_the_name(made, tmp_path):
    before = _load(made).digest
    assert len({before, _change(made, flip=False), _change(made, folder="elsewhere")}) == 3
    other = toy_dataset(tmp_path / "b", name="toy2", videos=False, folder="toy")
    assert _load(other).digest != before


def test_demo_videos_belong_to_the_identity(tmp_path):
    made = toy_dataset(tmp_path, name="demo_temporal", videos=False, generator="demo_temporal")
    made.split_file.unlink()
    found = _load(made)
    assert len(found) == 24 * 2 + 8 + 16
    assert found.clips.split.tolist() == ["train"] * 48 + ["val"] * 8 + ["test"] * 16
    changed = [
        _load(made, seed=1).digest,
        _load(made, SIZES.model_copy(update={"frames": 32})).digest,
        _load(made, SIZES.model_copy(update={"clips": {"train": 3, "val": 1, "test": 1}})).digest,
    ]
    assert len({found.digest, *changed}) == 4
    assert _load(made, SIZES.model_copy(update={"jobs": 7})).digest == found.digest


def test_sizes_of_demo_videos_do_not_touch_other_data_sets(made):
    assert _load(made, SIZES.model_copy(update={"frames": 32}), seed=5).digest == _load(made).digest


def test_card_names(made, tmp_path):
    toy_dataset(tmp_path, name="another", videos=False)
    (made.cards / "no card").mkdir()
    assert cards.card_names(made.cards) == ["another", "toy"]
    assert cards.card_names(tmp_path / "nowhere") == []


def test_unknown_name(made):
    message = _failure(lambda: cards.load_dataset(made.cards, "tyo", made.data, SIZES, 0))
    assert message == f"no card for data set 'tyo' in {made.cards}; did you mean 'toy'?"


def test_a_folder_whose_name_the_workflow_cannot_hold(tmp_path):
    made = toy_dataset(tmp_path, name="my set", videos=False)
    assert _failure(lambda: _load(made)) == (
        f"{made.cards}: 'my set' is no name of a data set; choose one of A-Z, a-z, 0-9, _ and - only, 100 at most"
    )


NUMBERED = {"format": "numbered", "train": "a", "val": "b", "test": "c"}


@pytest.mark.parametrize(
    ("card", "words"),
    [
        (toy_card(flips=True), "unknown key 'flips'; did you mean 'flip'?"),
        (
            toy_card(folder="../outside"),
            "folder: '../outside' must be a relative path without '..'",
        ),
        (toy_card(folder="/data/toy"), "folder: '/data/toy' must be a relative path without '..'"),
        (
            toy_card(max_failures=2),
            "max_failures: input should be less than or equal to 1 (found 2)",
        ),
        (
            toy_card(modality="temporel"),
            "modality: input should be 'temporal' or 'spatial' (found 'temporel')",
        ),
        ({k: v for k, v in toy_card().items() if k != "licence"}, "missing key 'licence'"),
        (toy_card(generator="demo_temporel"), "did you mean 'demo_temporal'?"),
        (toy_card(split={"format": "split_tsv"}), "split: format split_tsv needs the key 'file'"),
        (toy_card(split={**NUMBERED, "val": None}), "split: format numbered needs the key 'val'"),
        (toy_card(split={**NUMBERED, "file": "x"}), "split: format numbered has no key 'file'"),
        (
            toy_card(split={**NUMBERED, "format": "class_video", "labels": ["x"]}),
            "class_video has no key 'labels'",
        ),
        (
            toy_card(split={**NUMBERED, "labels": ["../x"]}),
            "split.labels: '../x' must be a relative path",
        ),
        (
            toy_card(split={**NUMBERED, "names": {"val": "/x"}}),
            "split.names: '/x' must be a relative path",
        ),
        (
            toy_card(split={**NUMBERED, "format": "numberd"}),
            "split.format: input should be 'split_tsv', 'class_video' or",
        ),
        (toy_card(files={"roots": ["videos", ".."]}), "files.roots: '..' must be a relative path"),
        (
            toy_card(files={"extensions": ["mp4"]}),
            "files.extensions: 'mp4' is no extension; expected one like .mp4",
        ),
        (
            toy_card(files={"path": "{class}"}),
            "files.path: '{class}' must hold {video}, may hold {class}, and no other",
        ),
        (
            toy_card(files={"path": "{class}/{video}/{id}"}),
            "files.path: '{class}/{video}/{id}' must hold {video}",
        ),
        (toy_card(files={"path": "/{video}"}), "files.path: '/{video}' must be a relative path"),
        (toy_card(group="(.+)_x"), "group: expected a regular expression with (?P<group>...)"),
        (
            toy_card(group="(?P<group>.+"),
            "group: no regular expression: missing ), unterminated subpattern",
        ),
    ],
)
def test_a_wrong_card_is_told_in_one_line(made, card, words):
    made.card_file.write_text(yaml.safe_dump(card))
    message = _failure(lambda: _load(made))
    assert words in message
    assert message.startswith(f"{made.card_file}: ") or "generator" in card


def test_a_card_that_is_no_yaml_names_the_line(made):
    made.card_file.write_text("title: Toy\nsource: [a, b\nflip: true\n")
    assert _failure(lambda: _load(made)).startswith(
        f"{made.card_file} line 3: not readable as YAML"
    )


def test_a_missing_split_list_names_where_it_was_looked_for(made):
    made.split_file.unlink()
    assert _failure(lambda: _load(made)).startswith(
        f"{made.folder / 'split.tsv'}: no such split list"
    )


def test_counts_of_the_card_are_checked_against_the_list(made):
    made.card_file.write_text(yaml.safe_dump(toy_card(expected={"test": [1, 5]})))
    assert (
        _failure(lambda: _load(made))
        == f"{made.split_file}: 2 clips in test, expected 5 by the card"
    )


# -- the five benchmarks ---------------------------------------------------------------------------------------------------

# Clips and classes of every released list; a benchmark's folder, whether flips are allowed, whether sources are known, names.
BENCHMARKS = {
    "ssv2_full": (
        {"train": (64, 67013), "val": (12, 1926), "test": (24, 2857)},
        "ssv2",
        False,
        False,
        None,
    ),
    "ssv2_small": (
        {"train": (64, 6400), "val": (12, 1200), "test": (24, 2400)},
        "ssv2",
        False,
        False,
        None,
    ),
    "kinetics100": (
        {"train": (64, 6400), "val": (12, 1200), "test": (24, 2400)},
        "kinetics",
        True,
        True,
        None,
    ),
    "hmdb51": (
        {"train": (31, 4280), "val": (10, 1194), "test": (10, 1292)},
        "hmdb51",
        True,
        True,
        51,
    ),
    "ucf101": (
        {"train": (70, 9154), "val": (10, 1421), "test": (21, 2745)},
        "ucf101",
        True,
        True,
        101,
    ),
}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_cards_of_the_benchmarks(name):
    card = load(Card, cards.card_file(published.CARDS, name))
    names = None if card.classes is None else len(set(card.classes))
    assert (card.expected, card.folder, card.flip, card.groups, names) == BENCHMARKS[name]
    assert card.groups == (card.group is not None)
    assert card.max_failures == (0.1 if name == "kinetics100" else 0)
    assert card.modality == ("temporal" if name.startswith("ssv2") else "spatial")


# Iterations, peak rate, and from which iteration on which factor of it is used, as written and as executed.
RECIPES = {
    ("kinetics100", "molo"): (5000, 2e-5, {1400: 0.1, 2100: 0.01}, {700: 0.1, 1050: 0.01}),
    ("kinetics100", "clip_fsar"): (5000, 1e-5, {1500: 0.1, 2250: 0.01}, {750: 0.1, 1250: 0.01}),
    ("ssv2_full", "molo"): (50000, 1e-4, {36000: 0.1}, {18000: 0.1, 30000: 0.01}),
    ("ssv2_full", "clip_fsar"): (30000, 5e-5, {16000: 0.1, 24000: 0.01}, {8000: 0.1, 12000: 0.01}),
    ("ssv2_small", "molo"): (20000, 1e-4, {6000: 0.1, 12000: 0.01}, {3000: 0.1, 6000: 0.01}),
    ("ssv2_small", "clip_fsar"): (30000, 5e-5, {8000: 0.1, 12000: 0.01}, {4000: 0.1, 6000: 0.01}),
    ("ucf101", "molo"): (6000, 5e-5, {}, {4000: 0.1}),
    ("ucf101", "clip_fsar"): (3000, 2e-6, {2400: 0.1}, {1200: 0.1, 1800: 0.01}),
    ("hmdb51", "molo"): (2000, 5e-5, {1500: 0.5}, {1000: 0.5, 1500: 0.1}),
    ("hmdb51", "clip_fsar"): (5000, 1e-5, {2800: 0.1, 4200: 0.01}, {1400: 0.1, 2100: 0.01}),
}


@pytest.mark.parametrize(("name", "recipe"), RECIPES)
def test_the_published_trainings_of_the_benchmarks(name, recipe):
    iterations, lr, *falls = RECIPES[name, recipe]
    card = load(Card, cards.card_file(published.CARDS, name))
    assert set(card.training) == {"molo", "clip_fsar"}
    for which, fall in zip(("as_written", "as_executed"), falls):
        spec = TrainingSpec.model_validate(
            card.training[recipe][which] | {"query": 1, "validations": 1}
        )
        # One episode on each of 4 GPUs an iteration, and a step every 4 iterations.
        assert (spec.episodes, spec.batch * spec.accumulate, spec.lr) == (4 * iterations, 16, lr)
        assert [round(m * iterations) for m in spec.milestones] == list(
            fall
        ) and spec.factors == tuple(fall.values())
        assert which == "as_written" or spec.weight_decay == 1e-3


def _imported(root, name, kind) -> tuple[list[str], cards.Dataset]:
    """From published lists of a kind through `fsar import-split` to the data set; also where its files are."""
    published.install(root, name)
    folder = root / "workflow" / "datasets"
    if kind == "numbered":
        published.numbered_lists(root / "lists", name)
        words = (
            ["--labels", *map(str, published.label_files(root))] if name.startswith("ssv2") else []
        )
    else:
        published.class_video_lists(root / "lists", name, kind)
        words = []
    words += [
        "--workflow",
        str(root / "workflow"),
        "--card",
        name,
        "--out",
        str(folder / name / "split.tsv"),
    ]
    assert main(["import-split", str(root / "lists"), *words]) == 0
    there = published.put_videos(root / "data" / BENCHMARKS[name][1], name)
    return there, cards.load_dataset(folder, name, root / "data", SIZES, 0)


@pytest.mark.parametrize("kind", ["list03.txt", ".list", "numbered"])
@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_listed_clip_of_a_benchmark_is_found(tmp_path, name, kind):
    there, dataset = _imported(tmp_path, name, kind)
    find = FileFinder(dataset.folder, dataset.card.files).find
    numbered_kinetics = (name, kind) == ("kinetics100", "numbered")
    wanted = {
        (split, clip.replace(" ", "_") if numbered_kinetics else clip, path)
        for (split, clip, _), path in zip(published.clips(name), there)
    }
    rows = zip(dataset.clips.split, dataset.clips["class"], map(find, dataset.clips.path))
    assert len(dataset) == len(wanted) and set(rows) == wanted
    assert (dataset.clips.group != "").all() == dataset.card.groups


@pytest.mark.parametrize("name", ["ssv2_small", "hmdb51", "ucf101"])
def test_the_format_of_the_lists_is_not_part_of_the_identity(tmp_path, name):
    """Kinetics' two kinds of lists spell classes differently, and differ in clips."""
    _, imported = _imported(tmp_path / "a", name, "list03.txt")
    _, numbered = _imported(tmp_path / "b", name, "numbered")
    assert numbered.digest == imported.digest
    # As they are, beside the videos.
    root = tmp_path / "c"
    lists = published.numbered_lists(root / "data" / imported.card.folder / "lists", name)
    source = {
        "format": "numbered",
        **{split: f"lists/{path.name}" for split, path in lists.items()},
    }
    if name == "ssv2_small":
        source["labels"] = [
            path.name for path in published.label_files(root / "data" / imported.card.folder)
        ]
    published.install(root, name, split=source)
    direct = cards.load_dataset(root / "workflow" / "datasets", name, root / "data", SIZES, 0)
    assert direct.digest == imported.digest
    assert direct.clips.to_numpy().tolist() == imported.clips.to_numpy().tolist()


def test_lists_of_names_may_lie_beside_the_card(tmp_path):
    file = published.install(tmp_path, "ssv2_small")
    lists = published.numbered_lists(file.parent, "ssv2_small")
    for split, classes in published.CLIPS["ssv2_small"].items():
        published.write(file.parent / f"{split} names", list(classes))
    source = {"format": "numbered", "names": {split: f"{split} names" for split in SPLITS}}
    file = published.install(
        tmp_path, "ssv2_small", split=source | {s: path.name for s, path in lists.items()}
    )
    entries = cards.load_entries(file, load(Card, file), tmp_path)
    assert sorted(entries["class"]) == sorted(kind for _, kind, _ in published.clips("ssv2_small"))


def test_digest_knows_what_finds_the_files_but_not_how_lists_are_read(made):
    before = _load(made).digest
    changes = [{"roots": ["videos"]}, {"extensions": [".avi", ".mp4"]}, {"match": "youtube_id"}]
    assert len({before, *(_change(made, files=files) for files in changes)}) == 4
    assert _change(made, files={}) == before
    assert _change(made, files={"path": "{video}"}, group="(?P<group>.+)") == before


def test_a_missing_published_list_is_told_with_what_to_do(tmp_path):
    def failure(**changes):
        file = published.install(tmp_path, "ucf101", **changes)
        return _failure(
            lambda: cards.load_dataset(file.parents[1], "ucf101", tmp_path / "data", SIZES, 0)
        )

    beside, folder = tmp_path / "workflow/datasets/ucf101", tmp_path / "data/ucf101"
    assert failure() == (
        f"{folder}/split.tsv: no such split list, here or beside the card; make it from published lists with "
        f"`fsar import-split LISTS --card ucf101 --out {beside}/split.tsv`"
    )
    assert failure(split={**NUMBERED, "format": "class_video"}) == (
        f"{folder}/a: no such file, here or beside {beside}/card.yaml, which names it under `split`"
    )
    lists = published.class_video_lists(beside, "ucf101")
    source = {"format": "class_video", **{split: path.name for split, path in lists.items()}}
    assert (
        failure(split=source, expected={"val": [1, 3]})
        == f"{beside}: 2 clips in val, expected 3 by the card"
    )
    assert (
        failure(split=source, classes=["YoYo"])
        == f"{beside}: unknown class 'ApplyEyeMakeup' in train; valid: YoYo"
    )
