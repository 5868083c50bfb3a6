"""The clip index: what is measured, what is counted as broken, and that the file gives back what was written."""

from __future__ import annotations

import pandas as pd
import pytest

from fsar_core.config import Card
from fsar_core.data import index as clip_index
from fsar_core.data.index import build_index, check_failures, read_index, write_index
from fsar_core.errors import FsarError
from fsar_core.testing import toy_card, toy_dataset, toy_index, write_code_video


def _card(**changes) -> Card:
    return Card.model_validate(toy_card(**changes))


def _failure(call) -> str:
    with pytest.raises(FsarError) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_every_clip_is_described(tmp_path):
    made = toy_dataset(tmp_path, frames=20, height=48, width=80)
    write_code_video(made.folder / made.entries.path[3], frames=50, fps=25)
    found = build_index(made.entries, _card(), made.folder)
    assert tuple(found.columns) == clip_index.COLUMNS
    assert found.row.tolist() == list(range(8)) and (found.problem == "").all() and (found.decoder == "decord").all()
    pd.testing.assert_frame_equal(found[["split", "class", "path", "group"]], made.entries)
    assert found.frames.tolist() == [20, 20, 20, 50, 20, 20, 20, 20]
    assert found.fps.tolist() == pytest.approx([30, 30, 30, 25, 30, 30, 30, 30])
    assert found.duration.tolist() == pytest.approx([2 / 3] * 3 + [2.0] + [2 / 3] * 4)
    assert found.height.tolist() == [48] * 3 + [64] + [48] * 4 and found.width.tolist() == [80] * 3 + [64] + [80] * 4
    pd.testing.assert_frame_equal(build_index(made.entries, _card(), made.folder, threads=3), found)


def test_broken_clips_are_counted_and_bounded(tmp_path):
    made = toy_dataset(tmp_path)
    (made.folder / made.entries.path[2]).write_text("no video")
    (made.folder / made.entries.path[5]).unlink()
    found = build_index(made.entries, _card(max_failures=0.25), made.folder)
    assert (found.problem != "").tolist() == [False, False, True, False, False, True, False, False]
    assert found.problem[5] == "no such file" and found.frames[5] == 0 and found.duration[5] == 0
    message = _failure(lambda: build_index(made.entries, _card(max_failures=0.24), made.folder))
    assert message.startswith(f"2 of 8 clips below {made.folder} cannot be used, first '{made.entries.path[2]}': ")
    assert "expected at most 24.0% (max_failures in the card)" in message
    assert message.endswith("mend the files or raise the threshold")


@pytest.mark.parametrize(
    ("broken", "threshold", "refused"), [(0, 0.0, False), (1, 0.0, True), (13, 0.1, True), (12, 0.1, False)]
)
def test_the_threshold_is_a_share_of_all_clips(broken, threshold, refused):
    index = toy_index()  # 128 clips
    index.loc[: broken - 1, "problem"] = "empty file"
    if refused:
        assert f"{broken} of 128 clips" in _failure(lambda: check_failures(index, threshold, "videos"))
    else:
        check_failures(index, threshold, "videos")


def test_a_missing_folder_says_what_to_do(tmp_path):
    made = toy_dataset(tmp_path, videos=False)
    made.folder.rmdir()
    assert _failure(lambda: build_index(made.entries, _card(), made.folder)) == (
        f"video folder {made.folder} of 'Toy' is missing; put the videos there or change roots.data"
    )


def test_a_written_index_reads_back_equal(tmp_path):
    index = toy_index()
    index.loc[0, ["class", "path"]] = ["\"NA\" (a) ! [b] & 'c'", 'videos/"x" [1] & (2)!.mp4']
    index.loc[1, ["class", "group"]] = ["NA", "null"]
    index.loc[2, ["class", "group"]] = ["001", ""]
    index.loc[3, ["frames", "problem", "decoder"]] = [0, 'decord: "bad", tab\there; pyav: no', ""]
    index.loc[4, "fps"] = 29.97
    write_index(tmp_path / "a" / "index.tsv", index)
    pd.testing.assert_frame_equal(read_index(tmp_path / "a" / "index.tsv"), index)


def test_the_same_index_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_index(tmp_path / name, toy_index())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_an_unreadable_index(tmp_path):
    path = tmp_path / "index.tsv"
    assert _failure(lambda: read_index(path)) == (
        f"{path}: no readable clip index (No such file or directory); make it with `fsar index`"
    )
    path.write_text("")
    assert "no readable clip index (No columns to parse from file)" in _failure(lambda: read_index(path))
    path.write_text("split\tclass\tpath\tgroup\ntrain\ta\tb\tc\n")
    assert _failure(lambda: read_index(path)) == (
        f"{path}: no clip index, the column 'row' is missing; make it with `fsar index`"
    )
    assert "no readable clip index (Is a directory)" in _failure(lambda: read_index(tmp_path))
