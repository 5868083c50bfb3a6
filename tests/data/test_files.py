"""Finding the file behind a listed clip: each rule, their order, and what is refused."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsar_core.config import Files
from fsar_core.data.files import FileFinder, Missing, stem
from fsar_core.errors import FsarError
from tests.data import published


@pytest.fixture
def make(tmp_path):
    """make(*paths, **files) puts empty files below the folder and returns `find` over them."""

    def made(*paths: str, **files):
        for path in paths:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).touch()
        return FileFinder(tmp_path, Files(**files)).find

    return made


def reason(find, path: str) -> str:
    with pytest.raises(Missing) as missing:
        find(path)
    return str(missing.value)


@pytest.mark.parametrize(
    ("there", "listed", "found"),
    [
        (["a/1.mp4"], "a/1.mp4", "a/1.mp4"),
        (["a/1.mp4"], "./a//1.mp4", "a/1.mp4"),
        (["1.mpg"], "1.mpg", "1.mpg"),
        # another extension, or none
        (["51958.webm"], "51958", "51958.webm"),
        (["51958.webm"], "51958.mp4", "51958.webm"),
        (["1.mkv", "1.avi", "1.mov"], "1", "1.avi"),
        (["1.avi", "1.mp4"], "1.avi", "1.avi"),
        (["1.MP4"], "1.avi", "1.MP4"),
        (["St. Bow.avi"], "St. Bow", "St. Bow.avi"),
        (["v1.2.webm", "v1.webm"], "v1.2", "v1.2.webm"),
        # extracted frames
        (["c/1/img_00001.jpg"], "c/1.avi", "c/1"),
        (["c/1/x.PNG"], "c/1", "c/1"),
        (["c/a-b/1.jpeg"], "c/A_b.mp4", "c/a-b"),
        (["1.mp4/1.jpg"], "1.mp4", "1.mp4"),
        (["1/1.jpg", "1.webm"], "1.mp4", "1.webm"),
        # spelling
        (["air drumming/x.mp4"], "air_drumming/x.mp4", "air drumming/x.mp4"),
        (["Air-Drumming/X y.mp4"], "air drumming/x_Y", "Air-Drumming/X y.mp4"),
        (["a b/1.mp4", "a_b/1.mp4"], "a_b/1.mp4", "a_b/1.mp4"),
        (["x y.mp4", "x_y.avi"], "x_y", "x_y.avi"),
        (["x y.avi", "x y.mkv"], "x_y", "x y.avi"),
        (["STRASSE/größe.mp4"], "straße/GRÖSSE", "STRASSE/größe.mp4"),
        # names are no patterns
        (["a[1]/(x)! & *.avi", "a1/(x)! & y.avi"], "a[1]/(x)! & *", "a[1]/(x)! & *.avi"),
        (["$HOME/{x}; rm.avi"], "$HOME/{x}; rm", "$HOME/{x}; rm.avi"),
    ],
)
def test_found(make, there, listed, found):
    assert make(*there)(listed) == found


@pytest.mark.parametrize(
    ("there", "listed", "why"),
    [
        ([], "1.mp4", "no such file"),
        (["a/1.mp4"], "b/1.mp4", "no folder 'b'"),
        (["a/1.mp4"], "a/2.mp4", "no such file"),
        (["a/1.mp4"], "a/*.mp4", "no such file"),
        (["a/1.mp4"], "[ab]/1.mp4", "no folder '[ab]'"),
        (["1.txt", "1.mp4.part"], "1.mp4", "no such file"),
        (["a"], "a/1.mp4", "no folder 'a'"),
        (["a b/1.mp4", "a-b/1.mp4"], "a_b/1.mp4", "ambiguous: a b, a-b"),
        (["x y.mp4", "X-y.mp4"], "x_y.mp4", "ambiguous: X-y, x y"),
        (["a-b/1.jpg", "A b/1.jpg"], "a_b", "ambiguous: A b, a-b"),
        (["c/1/readme.txt"], "c/1", "no .jpg, .jpeg, .png in the folder '1'"),
    ],
)
def test_missing(make, tmp_path, there, listed, why):
    said = reason(make(*there), listed)
    assert said == why and str(tmp_path) not in said


@pytest.mark.parametrize(
    "path", ["../1.mp4", "a/../../1.mp4", "/etc/passwd", "a\\1.mp4", "a\0", "", "."]
)
def test_no_path_leaves_the_folder(make, path):
    with pytest.raises(FsarError, match="must be a relative path without"):
        make("a/1.mp4", "1.mp4")(path)


def test_roots_are_tried_in_their_order(make):
    find = make(
        "val/a/1.avi",
        "train/a/1.mp4",
        "train/a/2.mp4",
        "a/3.mp4",
        roots=["nowhere", ".", "val", "train"],
    )
    assert [find(f"a/{n}") for n in (1, 2, 3)] == ["val/a/1.avi", "train/a/2.mp4", "a/3.mp4"]
    assert reason(find, "a/4") == reason(find, "b/4") == "no such file"


def test_youtube_ids(make):
    find = make(
        "air drumming/-3UyEfl3p5w_000001_000011.mp4",
        "air drumming/_3UyEfl3p5w.mkv",
        "air drumming/-3UYEFL3P5W_000001_000011.mp4",
        "c/AAAAAAAAAAA_000001_000011.mp4",
        "c/AAAAAAAAAAA_000020_000030.mp4",
        "c/BBBBBBBBBBB_9/1.jpg",
        "c/short.mp4",
        # what a download leaves beside its video
        "c/DDDDDDDDDDD_000001_000011.mp4",
        "c/DDDDDDDDDDD_000001_000011.info.json",
        "c/DDDDDDDDDDD_000001_000011.mp4.part",
        "c/EEEEEEEEEEE.webm.part",
        match="youtube_id",
    )
    # Case and hyphens are part of an id, though not of a folder's name.
    assert (
        find("air_drumming/-3UyEfl3p5w_000417_000427.avi")
        == "air drumming/-3UyEfl3p5w_000001_000011.mp4"
    )
    assert find("air_drumming/-3UyEfl3p5w") == "air drumming/-3UyEfl3p5w_000001_000011.mp4"
    assert find("air_drumming/_3UyEfl3p5w_000001_000011") == "air drumming/_3UyEfl3p5w.mkv"
    assert find("c/BBBBBBBBBBB_000001_000002") == "c/BBBBBBBBBBB_9"
    assert find("c/short.avi") == "c/short.mp4"
    assert find("c/DDDDDDDDDDD_000009_000019.mp4") == "c/DDDDDDDDDDD_000001_000011.mp4"
    assert reason(find, "c/EEEEEEEEEEE_000001_000011") == "no such file"
    assert reason(find, "air_drumming/-3uyefl3p5w") == "no such file"
    # The listed time stamp decides where there are several.
    assert find("c/AAAAAAAAAAA_000020_000030.avi") == "c/AAAAAAAAAAA_000020_000030.mp4"
    assert (
        reason(find, "c/AAAAAAAAAAA")
        == "ambiguous: AAAAAAAAAAA_000001_000011, AAAAAAAAAAA_000020_000030"
    )


def test_a_linked_folder_is_followed_and_a_broken_link_is_missing(make, tmp_path):
    find = make("elsewhere/1.mp4")
    (tmp_path / "here").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "2.mp4").symlink_to(tmp_path / "gone.mp4")
    assert find("here/1") == "here/1.mp4"
    assert reason(find, "here/2") == "no such file"


def test_a_link_to_itself_costs_no_other_clip(make, tmp_path):
    find = make("a/1.mp4", "a/2.mp4")
    (tmp_path / "a" / "loop.mp4").symlink_to("loop.mp4")
    (tmp_path / "b").symlink_to("b")
    assert find("a/1") == "a/1.mp4" and find("a/2") == "a/2.mp4"
    assert reason(find, "a/loop.avi") == "'loop.mp4': Too many levels of symbolic links"
    assert reason(find, "b/1.mp4") == "no folder 'b'"


def test_a_folder_is_read_once(make, monkeypatch):
    find = make(*(f"{number}.webm" for number in range(50)), "a/1.mp4", roots=["none", "."])
    calls, scandir = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: calls.append(path) or scandir(path))
    assert [find(f"{number}.mp4") for number in range(50)] == [
        f"{number}.webm" for number in range(50)
    ]
    assert [reason(find, f"a/{number}") for number in range(2, 9)] == ["no such file"] * 7
    assert len(calls) == 3  # `none`, the folder itself and `a`


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read(make, tmp_path):
    find = make("a/1.mp4")
    (tmp_path / "a").chmod(0)
    try:
        assert reason(find, "a/1.mp4") == "folder 'a': Permission denied"
    finally:
        (tmp_path / "a").chmod(0o755)


def test_missing_of_many(make, tmp_path):
    make("a/1.mp4", "b c/1.mp4", "b-c/1.mp4")
    files, missing = FileFinder(tmp_path, Files()).find_all(["a/1", "a/2", "b_c/1"])
    assert files == {"a/1": "a/1.mp4"}
    assert missing == {"a/2": "no such file", "b_c/1": "ambiguous: b c, b-c"}


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a.mp4", "a"),
        ("a.b.AVI", "a.b"),
        ("a.b", "a.b"),
        ("a", "a"),
        (".mp4", ".mp4"),
        ("Mr. Bean", "Mr. Bean"),
    ],
)
def test_stem(name, found):
    assert stem(name, Files()) == found


@given(
    name=st.text(min_size=1, max_size=20).filter(
        lambda name: (
            not set(name) & set("/\\\x7f") and min(name) > "\x1f" and name not in (".", "..")
        )
    )
)
def test_any_name_is_found_by_itself(tmp_path_factory, name):
    folder = tmp_path_factory.mktemp("any")
    try:
        (folder / f"{name}.mp4").touch()
    except (OSError, UnicodeError):  # longer or odder than the file system takes
        return
    assert FileFinder(folder, Files()).find(f"{name}.webm") == f"{name}.mp4"


def test_the_folder_of_ucf101_that_is_spelled_unlike_its_files(make):
    find = make(
        "HandstandPushups/v_HandStandPushups_g01_c01.avi",
        **published.card("ucf101").files.model_dump(),
    )
    wanted = "HandstandPushups/v_HandStandPushups_g01_c01.avi"
    assert find("HandStandPushups/v_HandStandPushups_g01_c01") == wanted
    assert find("HandstandPushups/v_HandstandPushups_g01_c01.avi") == wanted
