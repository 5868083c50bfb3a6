"""Lists of where in its clips the action is: written, read, and refused with the line that is wrong."""

from __future__ import annotations

import pytest

from fsar_core.data import intervals
from fsar_core.errors import FsarError


def test_there_and_back(tmp_path):
    found = {"videos/a b/clip & 1!.mp4": (0, 7), "videos/ü/x": (3, 4)}
    intervals.write(tmp_path / "intervals.tsv", found)
    assert (
        (tmp_path / "intervals.tsv")
        .read_bytes()
        .startswith(b"path\tstart\tend\nvideos/a b/clip & 1!.mp4\t0\t7\n")
    )
    assert intervals.read(tmp_path / "intervals.tsv") == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1: expected the header path start end (tabs between), found an empty file"),
        ("path start end\n", "line 1: expected the header"),
        (
            "path\tstart\tend\na\t1\n",
            "line 2: expected a path and two whole numbers, start below end; found a 1",
        ),
        ("path\tstart\tend\na\t1\t2\nb\t-1\t2\n", "line 3: expected a path and two whole numbers"),
        ("path\tstart\tend\na\t2\t2\n", "line 2: expected"),
        ("path\tstart\tend\na\tone\t2\n", "line 2: expected"),
        ("path\tstart\tend\na\t1\t2\na\t1\t3\n", "line 3: clip 'a' is listed twice"),
    ],
)
def test_mistakes_are_one_line(tmp_path, text, words):
    path = tmp_path / "x.tsv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(FsarError) as error:
        intervals.read(path)
    assert str(error.value).startswith(f"{path} {words}") and "\n" not in str(error.value)


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(FsarError, match="no such list; the card names it under `intervals`"):
        intervals.read(tmp_path / "x.tsv")
    (tmp_path / "y.tsv").write_bytes(b"path\tstart\tend\n\xff\t1\t2\n")
    with pytest.raises(FsarError, match="no readable list of intervals"):
        intervals.read(tmp_path / "y.tsv")
    with pytest.raises(FsarError, match="no readable list of intervals"):
        intervals.read(tmp_path)
