"""Published split lists: every format as it is found, names as data, and a line for every mistake."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsar_core.config import SPLITS
from fsar_core.data import split_formats
from fsar_core.errors import FsarError
from tests.data import published

CLASS_VIDEO = {"train": ["jump/1", "jump/2"], "val": ["run/3"], "test": ["sit/4"]}
NUMBERED = {
    "train": ["train0//a/jump/1.mp4", "train1//a/hop/2.mp4"],
    "val": ["val0//a/run/3.mp4"],
    "test": ["test0/4"],
}
TEMPLATES = {"1": "Jumping", "2": "Hopping", "3": "Running", "4": "Sitting"}


def lists_of(folder: Path, lines: dict[str, list[str]]) -> dict[str, Path]:
    return {split: published.write(folder / f"{split}.txt", part) for split, part in lines.items()}


def label_file(folder: Path, records: object, name: str = "labels.json") -> Path:
    (folder / name).write_text(
        records if isinstance(records, str) else json.dumps(records), encoding="utf-8"
    )
    return folder / name


def records(templates: dict[str, str]) -> list[dict]:
    return [
        {"id": video, "label": "x", "template": name, "placeholders": []}
        for video, name in templates.items()
    ]


def rows(found) -> list[tuple[str, ...]]:
    entries, _ = found
    return list(entries.itertuples(index=False, name=None))


def failure(call) -> str:
    with pytest.raises(FsarError) as error:
        call()
    return str(error.value)


# -- what is read ----------------------------------------------------------------------------------------------------------


def test_class_video(tmp_path):
    lists = published.class_video_lists(tmp_path, "hmdb51")
    assert split_formats.detect(lists) == "class_video"
    entries, sources = split_formats.read("class_video", lists)
    assert list(entries.columns) == ["split", "class", "path", "group"]
    assert rows((entries, sources)) == [
        (s, c, f"{c}/{v}", "") for s, c, v in published.clips("hmdb51")
    ]
    assert sources == dict.fromkeys(SPLITS, "the list")


def test_numbered_lists_take_names_from_the_folders(tmp_path):
    lists = published.numbered_lists(tmp_path, "kinetics100")
    assert split_formats.detect(lists) == "numbered"
    found = split_formats.read("numbered", lists)
    assert rows(found)[0] == ("train", "air_drumming", "val_256/air_drumming/-3UyEfl3p5w.mkv", "")
    assert rows(found)[1][1:3] == (
        "air_drumming",
        "train_256/air_drumming/_3UyEfl3p5W_000013_000023.mp4",
    )
    assert [name for _, name, _, _ in rows(found)] == [
        c.replace(" ", "_") for _, c, _ in published.clips("kinetics100")
    ]
    assert found[1] == dict.fromkeys(SPLITS, "folders")


def test_numbered_lists_take_names_from_label_files(tmp_path):
    lists = published.numbered_lists(tmp_path, "ssv2_small")
    assert lists["train"].read_text().splitlines()[2:4] == ["train0/100000", "train1/8"]
    entries, sources = split_formats.read("numbered", lists, published.label_files(tmp_path))
    assert rows((entries, sources)) == [(s, c, v, "") for s, c, v in published.clips("ssv2_small")]
    assert sources == dict.fromkeys(SPLITS, "label files")


def test_numbered_lists_take_names_from_lists_of_names(tmp_path):
    """As the configurations of CLIP-FSAR have them: for training and test classes, by number, not by the order of lines."""
    lines = {
        "train": ["train1//7.mp4", "train0//9.mp4"],
        "val": ["val0/1", "val1/2"],
        "test": ["test0/3"],
    }
    names = {
        "train": published.write(
            tmp_path / "train names", ["Pouring [something]", "a (b), c & d!"]
        ),
        "test": published.write(tmp_path / "test names", ["Poking"]),
    }
    entries, sources = split_formats.read("numbered", lists_of(tmp_path, lines), names=names)
    assert entries["class"].tolist() == [
        "a (b), c & d!",
        "Pouring [something]",
        "val0",
        "val1",
        "Poking",
    ]
    assert entries.path.tolist() == ["7.mp4", "9.mp4", "1", "2", "3"]
    assert sources == {"train": "train names", "val": "numbers only", "test": "test names"}


@pytest.mark.parametrize(
    ("lines", "classes"),
    [
        (
            ["train0/videos/1.mp4", "train1/videos/2.mp4"],
            ["train0", "train1"],
        ),  # one folder of all classes is no class
        (["train0/jump/1.mp4", "train0/jump/2.mp4"], ["jump", "jump"]),
        (["train0/jump/1.mp4", "train1/2.mp4"], ["train0", "train1"]),
        (["train7//51958", "train3//2"], ["train7", "train3"]),
        (["TRAIN0/jump/1.mp4", "Train1//hop/2.mp4"], ["jump", "hop"]),
    ],
)
def test_where_folders_name_classes(tmp_path, lines, classes):
    lists = lists_of(tmp_path, NUMBERED | {"train": lines})
    assert split_formats.detect(lists) == "numbered"
    assert split_formats.read("numbered", lists)[0]["class"].tolist()[:2] == classes


@pytest.mark.parametrize("change", ["\ufeff{}", "{}\n\n", "\n  \n{}"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_what_editors_do_to_a_list(tmp_path, change, ending):
    lists = lists_of(tmp_path, CLASS_VIDEO)
    plain = rows(split_formats.read("class_video", lists))
    text = change.format("jump/1 \n \tjump/2").replace("\n", ending)
    lists["train"].write_bytes(text.encode())
    assert split_formats.detect(lists) == "class_video"
    assert rows(split_formats.read("class_video", lists)) == plain


def test_paths_are_written_one_way(tmp_path):
    lists = lists_of(
        tmp_path, NUMBERED | {"train": ["train0//./a//jump/1.mp4", "train1//a/./hop/2.mp4"]}
    )
    entries, _ = split_formats.read("numbered", lists)
    assert entries.path.tolist()[:2] == ["a/jump/1.mp4", "a/hop/2.mp4"]
    assert entries["class"].tolist()[:2] == ["jump", "hop"]


@pytest.mark.parametrize(
    ("lines", "kind"),
    [
        (["abseiling/-3UyEfl3p5w_000001_000011"], "class_video"),
        (["brush_hair/(Rad)_#6_[a]!_;-)_~_&.avi"], "class_video"),
        (["Putting something, something and something on the table/177616"], "class_video"),
        (["train/clip 1"], "class_video"),
        (["vlog12/clip"], "class_video"),
        (["vlog12//clip"], "numbered"),  # told as an unknown split by `read`
        (["test3/a/b/c.mp4"], "numbered"),
        (["split\tclass\tpath\tgroup", "train\ta\ta/1\t"], "split_tsv"),
    ],
)
def test_detect(tmp_path, lines, kind):
    assert split_formats.detect(lists_of(tmp_path, {"train": lines})) == kind


LETTERS = st.sampled_from("abTrain01 _-.,;:!?()[]{}&$*'\"#~+=%@^`|<>") | st.characters(
    codec="utf-8", exclude_categories=("C", "Z"), exclude_characters="/\\"
)
NAMES = st.text(LETTERS, min_size=1, max_size=12).filter(
    lambda name: (
        name == name.strip() and name not in (".", "..") and not re.search(r"\.\w+\s+\d+$", name)
    )
)
DATASETS = st.fixed_dictionaries(
    {
        s: st.dictionaries(NAMES, st.lists(NAMES, min_size=1, max_size=3), min_size=1, max_size=3)
        for s in SPLITS
    }
)


@settings(max_examples=60, deadline=None)
@given(clips=DATASETS)
def test_any_name_survives_both_formats(tmp_path_factory, clips):
    folder = tmp_path_factory.mktemp("lists")
    wanted = [
        (s, c, f"{c}/{v}", "") for s in SPLITS for c, videos in clips[s].items() for v in videos
    ]
    lines = {s: [f"{c}/{v}" for c, videos in clips[s].items() for v in videos] for s in SPLITS}
    assert rows(split_formats.read("class_video", lists_of(folder, lines))) == wanted
    numbered = {
        s: [
            f"{s}{n}//videos/{c}/{v}"
            for n, (c, videos) in enumerate(clips[s].items())
            for v in videos
        ]
        for s in SPLITS
    }
    lists = lists_of(folder, numbered)
    assert split_formats.detect(lists) == "numbered"
    assert rows(split_formats.read("numbered", lists)) == [
        (s, c, f"videos/{p}", g) for s, c, p, g in wanted
    ]


@settings(max_examples=60, deadline=None)
@given(
    lines=st.lists(st.text(alphabet="train0/.val1 \t\\x\0é[:", max_size=12), min_size=1, max_size=4)
)
def test_no_list_is_a_bug(tmp_path_factory, lines):
    lists = lists_of(
        tmp_path_factory.mktemp("lists"), {"train": lines, "val": ["val0/1"], "test": ["test0/1"]}
    )
    try:
        kind = split_formats.detect({"train": lists["train"]})
        entries, _ = split_formats.read(kind, lists)
    except FsarError as error:
        assert str(error).startswith(str(lists["train"]))
    else:
        assert not any(part in ("", ".", "..") for path in entries.path for part in path.split("/"))


# -- what is refused -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (
            {"train": ["jump/1", "jump"]},
            "train.txt line 2: unknown format: 'jump'; expected class/video, train12//path",
        ),
        ({"train": ["a/b/c/1.mp4"]}, "train.txt line 1: unknown format: 'a/b/c/1.mp4'"),
        ({"train": ["./1.mp4"]}, "train.txt line 1: unknown format: './1.mp4'"),
        # the official lists of UCF101 mean another split
        ({"train": ["Archery/v_Archery_g08_c01.avi 3"]}, "train.txt line 1: unknown format"),
        (
            CLASS_VIDEO | {"val": ["", "val0//run/3.mp4"]},
            "val.txt line 2: 'val0//run/3.mp4' reads as numbered, but 'jump/1' (",
        ),
        ({"train": [" ", ""]}, "train.txt: an empty list; expected at least one line"),
    ],
)
def test_undetected(tmp_path, lines, words):
    assert words in failure(lambda: split_formats.detect(lists_of(tmp_path, lines)))


@pytest.mark.parametrize(
    ("kind", "lines", "words"),
    [
        (
            "class_video",
            {"train": ["jump/1", "jump-2"]},
            "train.txt line 2: 'jump-2'; expected class/video",
        ),
        (
            "class_video",
            {"test": ["../1"]},
            "test.txt line 1: '../1' must be a relative path without '..'",
        ),
        ("class_video", {"val": []}, "val.txt: an empty list"),
        (
            "numbered",
            {"train": ["train0"]},
            "line 1: 'train0'; expected train12//path/of/video.mp4 or train12/video",
        ),
        (
            "numbered",
            {"train": ["train1234567890/1"]},
            "line 1: 'train1234567890/1'; expected train12//path",
        ),
        (
            "numbered",
            {"val": ["vla0//3.mp4"]},
            "val.txt line 1: unknown split 'vla' in 'vla0//3.mp4'; did you mean 'val'?",
        ),
        (
            "numbered",
            {"val": ["test0/3"]},
            "val.txt line 1: 'test0/3' is of test, in the list of val; give each split",
        ),
        (
            "numbered",
            {"train": ["train0//a/../../1.mp4"]},
            "line 1: 'a/../../1.mp4' must be a relative path without",
        ),
        (
            "numbered",
            {"train": ["train0///data/1.mp4"]},
            "line 1: '/data/1.mp4' must be a relative path without",
        ),
        (
            "numbered",
            {"train": ["train0//C:\\1.mp4"]},
            "line 1: 'C:\\1.mp4' must be a relative path without",
        ),
        (
            "numbered",
            {"train": ["train0//jump/1.mp4", "train0//hop/2.mp4"]},
            "train.txt: train0 is 'jump' and also 'hop' ('hop/2.mp4') by its folders; expected one class a number",
        ),
        (
            "numbered",
            {"train": ["train0//jump/1.mp4", "train2//hop/3.mp4", "train1//jump/2.mp4"]},
            "train.txt: 'jump' is train0 and also train1 ('jump/2.mp4') by its folders; expected one number a class",
        ),
    ],
)
def test_wrong_lines(tmp_path, kind, lines, words):
    usual = {"class_video": CLASS_VIDEO, "numbered": NUMBERED}[kind]
    assert words in failure(lambda: split_formats.read(kind, lists_of(tmp_path, usual | lines)))


def test_lists_that_cannot_be_read(tmp_path):
    lists = lists_of(tmp_path, CLASS_VIDEO)
    lists["val"].write_bytes("größe/1".encode("latin-1"))
    assert failure(lambda: split_formats.detect(lists)).endswith(
        "val.txt: not UTF-8 text (invalid start byte at byte 2)"
    )
    lists["val"].unlink()
    assert failure(lambda: split_formats.detect(lists)).endswith("val.txt: no such list")
    lists["val"].mkdir()
    assert failure(lambda: split_formats.detect(lists)).endswith(
        "val.txt: no readable list (Is a directory)"
    )


def test_lists_that_do_not_belong_together(tmp_path):
    lists = lists_of(tmp_path, NUMBERED)
    labels, names = [label_file(tmp_path, records(TEMPLATES))], {"train": lists["train"]}

    def told(kind, lists, labels=(), names=None):
        return failure(lambda: split_formats.read(kind, lists, labels, names))

    two = {split: lists[split] for split in ("train", "test")}
    assert told("numbered", two).endswith("no list of val; expected one each of train, val, test")
    assert told("split_tsv", lists).endswith("a split.tsv has all splits; expected one file")
    assert told("class_video", lists, labels) == (
        "labels and names are for numbered classes, but these lists are class_video; leave them out"
    )
    assert told("numbered", lists, labels, names) == (
        "label files and lists of names both name the classes; give one of them"
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            records(TEMPLATES | {"2": "Jumping"}),
            "train.txt: 'Jumping' is train0 and also train1 ('a/hop/2.mp4') by its label",
        ),
        (
            records({"1": "Jumping"}),
            "train.txt: no label file has the video '2'; give all of them, training and validation",
        ),
        (
            records(TEMPLATES) + records({"1": "Falling"}),
            "labels.json: video '1' is 'Jumping' and also 'Falling'; expected one label a video",
        ),
        # the other files of the release: test videos have no template, and templates have numbers
        (
            [{"id": "1420"}],
            "labels.json: record 1 is {'id': '1420'}; expected a list of objects with 'id' and 'template'",
        ),
        (
            {"Holding something": "0"},
            "labels.json: no list; expected a list of objects with 'id' and 'template', as in",
        ),
        ([], "labels.json: an empty list; expected"),
        ([["1", "Jumping"]], "labels.json: record 1 is ['1', 'Jumping']; expected"),
        (
            [{"id": "1", "template": None}],
            "labels.json: record 1 is {'id': '1', 'template': None}; expected",
        ),
        (
            "id,label\n1,Jumping\n",
            "labels.json: no JSON (Expecting value: line 1 column 1 (char 0)); expected a list",
        ),
        ("", "labels.json: no JSON (Expecting value"),
    ],
)
def test_wrong_label_files(tmp_path, content, words):
    lists, labels = lists_of(tmp_path, NUMBERED), [label_file(tmp_path, content)]
    assert words in failure(lambda: split_formats.read("numbered", lists, labels))


def test_label_files_name_one_class_a_number_over_all_of_them(tmp_path):
    lists = lists_of(tmp_path, NUMBERED | {"train": ["train0/1", "train0/2"]})
    parts = [records(TEMPLATES)[:1], records(TEMPLATES)[1:]]
    labels = [label_file(tmp_path, part, f"{number}.json") for number, part in enumerate(parts)]
    assert (
        "train.txt: train0 is 'Jumping' and also 'Hopping' ('2') by its label files; expected one class a number"
        in (failure(lambda: split_formats.read("numbered", lists, labels)))
    )
    label_file(tmp_path, records(TEMPLATES | {"2": "Jumping"})[1:], "1.json")
    names = split_formats.read("numbered", lists, labels)[0]["class"].tolist()
    assert names == ["Jumping", "Jumping", "Running", "Sitting"]
    missing = [*labels, tmp_path / "no.json"]
    assert (
        "no.json: no readable label file (No such file or directory); expected a list of objects"
        in (failure(lambda: split_formats.read("numbered", lists, missing)))
    )


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (
            ["a"],
            "names: 1 names in 1 lines, but {} has numbers to train1; expected 2 lines with a name each",
        ),
        (
            ["a", "b", "c"],
            "names: 3 names in 3 lines, but {} has numbers to train1; expected 2 lines",
        ),
        (
            ["a", "", "b"],
            "names: 2 names in 3 lines, but {} has numbers to train1; expected 2 lines",
        ),
        (
            ["a", "a"],
            "{}: 'a' is train0 and also train1 ('a/hop/2.mp4') by its names; expected one number a class",
        ),
        ([], "names: an empty list"),
    ],
)
def test_wrong_lists_of_names(tmp_path, names, words):
    lists, names = (
        lists_of(tmp_path, NUMBERED),
        {"train": published.write(tmp_path / "names", names)},
    )
    assert words.format(lists["train"]) in failure(
        lambda: split_formats.read("numbered", lists, names=names)
    )


def test_by_split(tmp_path):
    for name in ("train_few_shot.txt", "Val.list", "testlist03.txt", "model.yaml", "retrain.txt"):
        (tmp_path / name).touch()
    (tmp_path / "train.d").mkdir()
    found = split_formats.by_split(tmp_path)
    assert {split: path.name for split, path in found.items()} == {
        "train": "train_few_shot.txt",
        "val": "Val.list",
        "test": "testlist03.txt",
    }
    (tmp_path / "testlist07.txt").touch()
    assert failure(lambda: split_formats.by_split(tmp_path)) == (
        f"{tmp_path}: testlist03.txt and testlist07.txt begin with 'test', expected one list of each split; "
        "name them by --train, --val and --test"
    )
    (tmp_path / "Val.list").unlink()
    assert "no file begins with 'val', expected one list" in failure(
        lambda: split_formats.by_split(tmp_path)
    )


# -- what a card makes of them ---------------------------------------------------------------------------------------------


def arranged(tmp_path, lines: list[str], card):
    lists = lists_of(tmp_path, CLASS_VIDEO | {"train": lines})
    entries, strangers = split_formats.arranged(split_formats.read("class_video", lists)[0], card)
    train = entries[entries.split == "train"]
    return (
        train.path.tolist(),
        train.group.tolist(),
        strangers - 2,
    )  # val and test have one stranger each


@pytest.mark.parametrize(
    ("name", "lines", "groups", "strangers"),
    [
        (
            "ucf101",
            [
                "HandstandPushups/v_HandStandPushups_g01_c01",
                "HandstandPushups/v_HandStandPushups_g12_c07.avi",
                "YoYo/v_g1_c",
            ],
            ["v_HandStandPushups_g01", "v_HandStandPushups_g12", "v_g1_c"],
            1,
        ),
        (
            "hmdb51",
            [
                "kick/A_kick_b_kick_f_cm_np1_ba_bad_0.avi",
                "kick/(HQ)_[1]_&!_kick_u_nm_np12_le_goo_11",
                "kick/A_kick_ball_f_cm_np1_ba_bad_0",
                "kick/A_kick_f_xm_np1_ba_bad_0",
            ],
            [
                "A_kick_b",
                "(HQ)_[1]_&!",
                "A_kick_ball_f_cm_np1_ba_bad_0",
                "A_kick_f_xm_np1_ba_bad_0",
            ],
            2,
        ),
    ],
)
def test_source_videos_are_read_off_the_names(tmp_path, name, lines, groups, strangers):
    assert arranged(tmp_path, lines, published.card(name))[1:] == (groups, strangers)


def test_the_source_of_a_kinetics_clip_is_its_youtube_id(tmp_path):
    lines = ["zumba/-3UyEfl3p5w_000001_000011.mp4", "zumba/_3UyEfl3p5w.mkv"]
    paths, groups, _ = arranged(tmp_path, lines, published.card("kinetics100"))
    assert (paths, groups) == (
        ["zumba/-3UyEfl3p5w_000001_000011", "zumba/_3UyEfl3p5w"],
        ["-3UyEfl3p5w", "_3UyEfl3p5w"],
    )


def test_class_names_are_no_patterns_and_no_templates(tmp_path):
    card = published.card("hmdb51", group="(?P<group>.+)_{class}_x", classes=None)
    paths, groups, strangers = arranged(
        tmp_path, ["a.c (d)/{class}_a.c_(d)_x.avi", "a.c (d)/s_abc_(d)_x.avi"], card
    )
    assert paths == ["a.c (d)/{class}_a.c_(d)_x", "a.c (d)/s_abc_(d)_x"]
    assert (groups, strangers) == (["{class}", "s_abc_(d)_x"], 1)


def test_a_folder_is_kept_as_it_is_listed_where_the_class_has_another_name(tmp_path):
    lists = lists_of(
        tmp_path,
        NUMBERED | {"train": ["train0//videos/kick_ball/1_kick_ball_f_cm_np1_ba_bad_0.avi"]},
    )
    names = {"train": published.write(tmp_path / "names", ["kick ball"])}
    entries, _ = split_formats.read("numbered", lists, names=names)
    first = split_formats.arranged(entries, published.card("hmdb51"))[0].iloc[0]
    assert first.tolist() == ["train", "kick ball", "kick_ball/1_kick_ball_f_cm_np1_ba_bad_0", "1"]


def test_report(tmp_path):
    card = published.card("ucf101", expected={"train": [3, 11], "val": [10, None]})
    lists = published.class_video_lists(tmp_path, "ucf101")
    with open(lists["train"], "a") as stream:
        stream.writelines(f"Archery/v_Archery_g01_c0{clip}\n" for clip in range(6))
    entries, sources = split_formats.read("class_video", lists)
    assert split_formats.report(
        *(split_formats.arranged(entries, card)[0], card, sources), strangers=3
    ) == [
        "class names: the list (train), the list (val), the list (test)",
        "train: 3 classes, 11 clips, 2 to 6 a class (median 3), 4 source videos; expected 3 classes, 11 clips",
        "val: 1 classes, 2 clips, 2 to 2 a class (median 2), 1 source videos; expected 10 classes",
        "test: 1 classes, 2 clips, 2 to 2 a class (median 2), 2 source videos",
        "3 names tell no source video; each of these clips counts as a source of its own",
    ]
    numbers = sources | {"val": "numbers only"}
    found = split_formats.report(
        entries[entries.split == "train"], published.card("ssv2_full"), numbers, strangers=0
    )
    assert found[1:] == [
        "classes without names are called after their numbers; --labels or lists of names would name them",
        "train: 3 classes, 11 clips, 2 to 6 a class (median 3), source videos unknown",
        "val: 0 classes, 0 clips, source videos unknown",
        "test: 0 classes, 0 clips, source videos unknown",
    ]
