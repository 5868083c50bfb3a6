"""`fsar import-split`: what it prints and writes, and what it refuses without writing anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from fsar_core.__main__ import main
from fsar_core.data import splits
from tests.data import published


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A folder with the cards of the miniatures and UCF101's lists in `lists`; the current one, as for a user."""
    for name in ("ucf101", "ssv2_small"):
        published.install(tmp_path, name)
    published.class_video_lists(tmp_path / "lists", "ucf101")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_it_says_and_writes(project, capsys):
    published.put_videos(project / "videos", "ucf101")
    (project / "videos" / "UCF-101" / "YoYo" / "v_YoYo_g25_c05.avi").unlink()
    words = ["lists", "--card", "ucf101", "--folder", "videos", "--out", "new/split.tsv"]
    assert main(["import-split", *words]) == 0
    out, err = capsys.readouterr()
    assert (out.splitlines(), err) == (
        [
            "format: class_video",
            "class names: the list (train), the list (val), the list (test)",
            "train: 2 classes, 5 clips, 2 to 3 a class (median 2.5), 3 source videos; expected 2 classes, 5 clips",
            "val: 1 classes, 2 clips, 2 to 2 a class (median 2), 1 source videos; expected 1 classes, 2 clips",
            "test: 1 classes, 2 clips, 2 to 2 a class (median 2), 2 source videos; expected 1 classes, 2 clips",
            "8 of 9 clips are below videos; first missing: YoYo/v_YoYo_g25_c05 (no such file)",
            "written: new/split.tsv",
        ],
        "",
    )
    assert (project / "new" / "split.tsv").read_text().splitlines()[:3] == [
        "split\tclass\tpath\tgroup",
        "train\tApplyEyeMakeup\tApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01\tv_ApplyEyeMakeup_g01",
        "train\tApplyEyeMakeup\tApplyEyeMakeup/v_ApplyEyeMakeup_g01_c02\tv_ApplyEyeMakeup_g01",
    ]


def test_an_older_file_is_replaced_and_may_itself_be_imported(project):
    target = project / "split.tsv"
    target.write_text("old")
    assert main(["import-split", "lists", "--out", "split.tsv"]) == 0
    raw = target.read_text()
    assert len(splits.read(target)) == 9 and set(splits.read(target).group) == {""}
    assert main(["import-split", "split.tsv", "--out", "split.tsv"]) == 0
    assert target.read_text() == raw
    target.write_text(raw.replace("g25_c05\t", "g25_c05\tmine"))
    assert main(["import-split", "split.tsv", "--card", "ucf101", "--out", "split.tsv"]) == 0
    assert splits.read(target).group.tolist()[3:5] == [
        "v_YoYo_g25",
        "mine",
    ]  # those that are there are kept


def test_lists_labels_and_names_one_by_one(project, capsys):
    numbered = published.numbered_lists(project / "n", "ssv2_small")
    lists = [word for split, path in numbered.items() for word in (f"--{split}", str(path))]
    labels = ["--labels", *map(str, published.label_files(project))]
    card = ["--card", "workflow/datasets/ssv2_small/card.yaml"]
    assert main(["import-split", *lists, *labels, *card, "--out", "a.tsv"]) == 0
    assert (
        "class names: label files (train), label files (val), label files (test)\n"
        in capsys.readouterr().out
    )
    published.write(project / "names", [*published.CLIPS["ssv2_small"]["train"]])
    assert (
        main(
            [
                "import-split",
                *lists,
                "--train-names",
                "names",
                "--format",
                "numbered",
                "--out",
                "b.tsv",
            ]
        )
        == 0
    )
    assert (
        "class names: names (train), numbers only (val), numbers only (test)\n"
        in capsys.readouterr().out
    )
    a, b = splits.read("a.tsv"), splits.read("b.tsv")
    assert a.path.tolist() == b.path.tolist() and a["class"].tolist() == [
        c for _, c, _ in _stored("ssv2_small")
    ]
    assert b["class"].unique().tolist()[-2:] == ["val0", "test0"]


def _stored(name: str) -> list[tuple[str, str, str]]:
    order = {"train": 0, "val": 1, "test": 2}
    return sorted(published.clips(name), key=lambda clip: (order[clip[0]], clip[1:]))


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("", "expected either a folder of lists (or a split.tsv), or --train, --val and --test"),
        ("lists --train lists/vallist03.txt", "expected either a folder of lists (or a split.tsv), or --train"),
        ("nowhere", "nowhere: no such list"),
        ("workflow", "workflow: no file begins with 'train', expected one list of each split; name them by --train"),
        ("--train lists/trainlist03.txt", "lists/trainlist03.txt: no list of val; expected one each of train, val, test"),
        ("lists --card ucf_101", "no card for data set 'ucf_101' in workflow/datasets; did you mean 'ucf101'?"),
        ("lists --card ssv2_small", "lists: 2 classes in train, expected 3 by the card"),
        ("lists --folder nowhere", "nowhere: no such folder; expected that of the videos"),
        ("lists --labels lists/vallist03.txt", "labels and names are for numbered classes, but these lists are class_video"),
        ("lists --format numbered", "lists/trainlist03.txt line 1: 'ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01'; expected train12"),
        ("--train lists/trainlist03.txt --val lists/vallist03.txt --test lists/vallist03.txt", "lists: clip 'Handstand"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line_and_nothing_is_written(project, capsys, words, line):
    assert main(["import-split", *words.split(), "--out", "new/split.tsv"]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"fsar: error: {line}") and err.count("\n") == 1
    assert not (project / "new").exists()


def test_label_files_that_are_nested_too_deeply(project, capsys):
    lists = [
        w
        for split, path in published.numbered_lists(project / "n", "ssv2_small").items()
        for w in (f"--{split}", str(path))
    ]
    (project / "deep.json").write_text("[" * 100_000 + "]" * 100_000)
    assert main(["import-split", *lists, "--labels", "deep.json", "--out", "new/split.tsv"]) == 2
    err = capsys.readouterr().err
    assert err.startswith(
        "fsar: error: deep.json: JSON that is nested too deeply; expected a list of objects with 'id' and"
    )
    assert err.count("\n") == 1 and not (project / "new").exists()


def test_an_older_file_survives_a_mistake(project, capsys):
    (project / "split.tsv").write_text("old")
    with open(project / "lists" / "testlist03.txt", "a") as stream:
        stream.write("YoYo/v_YoYo_g01_c01\n")
    assert main(["import-split", "lists", "--out", "split.tsv"]) == 2
    out, err = capsys.readouterr()
    # What was found is still said: it is what the mistake is found by.
    assert "test: 2 classes, 3 clips" in out
    assert (
        err
        == "fsar: error: lists: class 'YoYo' is in both train and test; splits must not share classes\n"
    )
    assert (project / "split.tsv").read_text() == "old" and not [*project.glob(".split.tsv*")]
    assert main(["import-split", "lists", "--out", "lists"]) == 2
    assert (
        capsys.readouterr().err
        == "fsar: error: lists: a folder; expected the name of the split.tsv to write\n"
    )
