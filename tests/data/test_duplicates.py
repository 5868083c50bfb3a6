"""One file under several names is rejected, equal content is reported, and a source video stays in one split."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pandas as pd
import pytest
import yaml
from PIL import Image

from fsar_core.__main__ import main
from fsar_core.config import Card, Files
from fsar_core.data import splits
from fsar_core.data.duplicates import (
    ACROSS_CLASSES,
    ACROSS_SPLITS,
    REPEATED,
    check_distinct,
    content_digests,
    digests_of_equal_sizes,
    equal_content,
    warnings,
)
from fsar_core.data.files import FileFinder
from fsar_core.data.index import read_index
from fsar_core.data.new_dataset import propose
from fsar_core.errors import FsarError
from tests.builders import toy_card, toy_dataset

HEADER = "split\tclass\tpath\tgroup\n"


def listed(*paths: str) -> pd.DataFrame:
    """A split list of one class a split: the first half of the paths is train, the second half test."""
    half = (len(paths) + 1) // 2
    rows = [
        ("train", "a", path, "") if n < half else ("test", "b", path, "")
        for n, path in enumerate(paths)
    ]
    return pd.DataFrame(rows, columns=list(splits.COLUMNS), dtype=str)


def failure(call) -> str:
    with pytest.raises(FsarError) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


def check(folder: Path, entries: pd.DataFrame) -> None:
    files, _ = FileFinder(folder, Files()).find_all(entries.path)
    check_distinct(entries, files, folder)


@pytest.fixture
def folder(tmp_path) -> Path:
    """One video, and a symbolic and a hard link to it, and another video of the same content."""
    (tmp_path / "A").mkdir()
    (tmp_path / "A" / "one.mp4").write_text("video")
    (tmp_path / "A" / "two.mp4").symlink_to("one.mp4")
    os.link(tmp_path / "A" / "one.mp4", tmp_path / "A" / "three.mp4")
    (tmp_path / "B").symlink_to("A")
    (tmp_path / "A" / "four.mp4").write_text("video")
    return tmp_path


@pytest.mark.parametrize(
    "other",
    [
        "A/ONE",
        "A/one",
        "A/one.avi",
        "a/one.mp4",
        "A/./one.mp4",
        "A//one.mp4",
        "B/one.mp4",
        "A/two.mp4",
        "A/three",
        "b/TWO",
    ],
)
def test_one_file_under_two_names_is_rejected(folder, other):
    assert failure(lambda: check(folder, listed("A/one.mp4", other))) == (
        f"{folder}/A/one.mp4: 'A/one.mp4' (train, class 'a') and '{other}' (test, class 'b') are this one file, by another "
        "spelling or a link; keep one of the two clips"
    )


def test_all_repeated_clips_are_counted(folder):
    message = failure(lambda: check(folder, listed("A/one.mp4", "A/two", "A/four", "B/three")))
    assert message.endswith("keep one of the two clips (1 more clips repeat a file)")


def test_separate_files_and_missing_ones_are_accepted(folder):
    check(folder, listed("A/one.mp4", "A/four.mp4", "A/missing.mp4", "A/gone.mp4"))


def test_a_folder_of_frames_behind_a_video_of_the_same_name(tmp_path):
    (tmp_path / "A" / "one").mkdir(parents=True)
    (tmp_path / "A" / "one" / "1.jpg").touch()
    (tmp_path / "A" / "one.mp4").touch()
    assert "A/one.mp4: 'A/one' (train" in failure(
        lambda: check(tmp_path, listed("A/one", "A/one.mp4"))
    )


@pytest.mark.parametrize(
    "other", ["A//one.mp4", "A/./one.mp4", "./A/one.mp4", "A/one.mp4/", "A/one.mp4/."]
)
def test_a_list_with_two_spellings_of_a_path_is_rejected_without_its_videos(other):
    entries = listed("A/one.mp4", other)
    card = Card.model_validate(toy_card())
    assert failure(lambda: splits.check(entries, card, "split.tsv")) == (
        f"split.tsv: clips 'A/one.mp4' and '{other}' are one file; list it once"
    )
    assert len(splits.check(listed("A/two.mp4", other), card, "split.tsv")) == 2


# -- equal content -----------------------------------------------------------------------------------------------------


def clips(*rows: tuple[str, str, str]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["split", "class", "path"], dtype=str)
    return table.assign(file=table.path)


def test_kinds_of_equal_content():
    table = clips(
        ("train", "a", "1"),
        ("train", "a", "2"),
        ("train", "b", "3"),
        ("test", "c", "4"),
        ("test", "c", "5"),
    )
    found = equal_content(table, {"1": "x", "2": "x", "3": "x", "4": "x", "5": "y"})
    assert list(zip(found.path, found.kind)) == [
        ("2", REPEATED),
        ("3", ACROSS_CLASSES),
        ("4", ACROSS_SPLITS),
    ]
    assert (
        found.reason.iloc[0]
        == "same content as '1' (train, class 'a'); an episode may compare a video with itself"
    )
    assert warnings(found) == [
        "warning: 1 clip repeats the content of another; '4' (test) has the same content as '1' (train, class 'a'); "
        "LEAK: a video is in several splits, so the test is not on unseen videos",
        "warning: 1 clip repeats the content of another; '3' (train) has the same content as '1' (train, class 'a'); "
        "WRONG LABELS: one video has two classes",
        "warning: 1 clip repeats the content of another; '2' (train) has the same content as '1' (train, class 'a'); "
        "an episode may compare a video with itself",
    ]
    assert (
        equal_content(table, {"1": "x", "2": "y"}).empty
        and warnings(equal_content(table, {})) == []
    )


def test_digests_are_computed_for_files_of_equal_size_only(tmp_path):
    for name, text in {"1": "abc", "2": "abd", "3": "abc", "4": "longer"}.items():
        (tmp_path / name).write_text(text)
    for name, pixel in {"5": 0, "6": 0, "7": 255}.items():
        (tmp_path / name).mkdir()
        for number in range(2):
            Image.new("L", (4, 4), pixel).save(tmp_path / name / f"{number}.png")
    found = digests_of_equal_sizes(tmp_path, ["1", "2", "3", "4", "5", "6", "7", "gone"])
    assert found["1"] == found["3"] == hashlib.sha256(b"abc").hexdigest() != found["2"]
    assert found["5"] == found["6"] != found.get("7") and not {"4", "gone"} & set(found)


def test_digests_of_an_index_are_those_of_its_usable_clips():
    index = clips(
        ("train", "a", "1"), ("train", "a", "2"), ("train", "a", "3"), ("train", "a", "4")
    )
    index = index.assign(problem=["", "", "unreadable", ""], sha256=["x", "y", "x", ""])
    assert content_digests(index) == {"1": "x", "2": "y"}


# -- the verbs ---------------------------------------------------------------------------------------------------------


def index_of(made, tmp_path) -> tuple[int, Path, Path]:
    index, problems = tmp_path / "index.tsv", tmp_path / "problems.tsv"
    words = [
        "index",
        "--card",
        made.card_file,
        "--folder",
        made.folder,
        "--problems",
        problems,
        "--out",
        index,
    ]
    return main([str(word) for word in words]), index, problems


def test_index_rejects_a_file_that_is_listed_twice(tmp_path, capsys):
    made = toy_dataset(tmp_path, clips=1)
    first, last = made.entries.path.iloc[0], made.entries.path.iloc[-1]
    (made.folder / last).unlink()
    os.link(made.folder / first, made.folder / last)
    status, index, _ = index_of(made, tmp_path)
    assert status == 2 and not index.exists()
    assert capsys.readouterr().err == (
        f"fsar: error: {made.folder / first}: '{first}' (train, class 'train class 00') and '{last}' (test, class 'test class "
        "00') are this one file, by another spelling or a link; keep one of the two clips\n"
    )


def test_index_warns_of_equal_content(tmp_path, capsys):
    made = toy_dataset(tmp_path, clips=1)
    first, last = made.entries.path.iloc[0], made.entries.path.iloc[-1]
    (made.folder / last).write_bytes((made.folder / first).read_bytes())
    status, index, problems = index_of(made, tmp_path)
    assert status == 0 and (read_index(index).problem == "").all()
    assert (
        f"warning: 1 clip repeats the content of another; '{last}' (test) has"
        in capsys.readouterr().out
    )
    table = pd.read_csv(problems, sep="\t")
    assert table.path.tolist() == [last] and table.kind.tolist() == ["equal content across splits"]
    assert table.reason[0].startswith(
        f"same content as '{first}' (train, class 'train class 00'); LEAK"
    )


def test_import_split_rejects_a_file_that_is_listed_twice(folder, tmp_path, capsys, monkeypatch):
    (tmp_path / "in.tsv").write_text(
        HEADER + "train\ta\tA/one.mp4\t\nval\tc\tA/four.mp4\t\ntest\tb\tA/ONE\t\n"
    )
    words = ["import-split", "in.tsv", "--folder", str(folder), "--out", "out.tsv"]
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert (
        "'A/one.mp4' (train, class 'a') and 'A/ONE' (test, class 'b') are this one file"
        in capsys.readouterr().err
    )
    assert not (tmp_path / "out.tsv").exists()


def test_init_dataset_refuses_a_file_that_is_there_twice(tmp_path):
    for name in "abc":
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.mp4").write_text(name)
    (tmp_path / "b" / "2.mp4").symlink_to("../a/1.mp4")
    assert "are this one file, by another spelling or a link" in failure(lambda: propose(tmp_path))
    (tmp_path / "b" / "2.mp4").unlink()
    (tmp_path / "b" / "2.mp4").write_text("a")
    (line,) = [line for line in propose(tmp_path).report() if "warning" in line]
    assert "repeats the content of another" in line


# -- source videos -----------------------------------------------------------------------------------------------------


def grouped(*rows: tuple[str, str, str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(splits.COLUMNS), dtype=str)


CROSSING = grouped(
    ("train", "a", "a/1.mp4", "film"), ("val", "b", "b/1.mp4", ""), ("test", "c", "c/1.mp4", "film")
)


def test_a_source_video_in_two_splits_is_rejected_unless_the_card_allows_it():
    assert failure(
        lambda: splits.check(CROSSING, Card.model_validate(toy_card()), "split.tsv")
    ) == (
        "split.tsv: the source video 'film' gives clips to train ('a/1.mp4') and to test ('c/1.mp4'); put their classes into "
        "one split or leave clips out, or set `groups_across_splits: true` in the card if the published split is like this"
    )
    allowed = Card.model_validate(toy_card(groups_across_splits=True))
    assert len(splits.check(CROSSING, allowed, "split.tsv")) == 3
    one_split = CROSSING.assign(split="train")
    assert len(splits.check(one_split, Card.model_validate(toy_card()), "split.tsv")) == 3


def test_names_that_do_not_fit_the_rule_are_no_common_source():
    """Two clips called 001 in different classes are separate videos where the card's rule gives them no source."""
    rows = grouped(("train", "a", "a/001.mp4", "001"), ("test", "c", "c/001.mp4", "001"))
    card = Card.model_validate(toy_card(group="(?P<group>film_.+)_[0-9]+"))
    assert len(splits.check(rows, card, "split.tsv")) == 2
    with pytest.raises(FsarError, match="the source video '001' gives clips"):
        splits.check(rows, Card.model_validate(toy_card(group="(?P<group>0.+)")), "split.tsv")


def test_the_split_of_hmdb51_may_share_films():
    root = Path(__file__).resolve().parents[2] / "workflow" / "datasets"
    shared = {
        path.parent.name: yaml.safe_load(path.read_text()).get("groups_across_splits")
        for path in root.glob("*/card.yaml")
    }
    assert [name for name, allowed in shared.items() if allowed] == ["hmdb51"]
