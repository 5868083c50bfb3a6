"""Making the clip index: what is measured, which problems there are and how they are counted, and mutated files."""

from __future__ import annotations

import csv
import shutil
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fsar_core.config import Card
from fsar_core.data.index import COLUMNS
from fsar_core.data.probing import build_index, check_failures, report, write_problems
from fsar_core.errors import FsarError
from fsar_core.runtime.seeding import rng
from fsar_core.store_kinds import frames as frame_store
from fsar_core.stores.layout import job_count
from tests.builders import (
    code_picture,
    read_codes,
    toy_card,
    toy_dataset,
    toy_frame_spec,
    toy_index,
    write_code_video,
)


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
    assert tuple(found.columns) == COLUMNS
    assert (
        found.row.tolist() == list(range(8))
        and (found.problem == "").all()
        and (found.decoder == "decord").all()
    )
    pd.testing.assert_frame_equal(found[["split", "class", "path", "group"]], made.entries)
    assert found.file.tolist() == made.entries.path.tolist()
    assert found.frames.tolist() == [20, 20, 20, 50, 20, 20, 20, 20]
    assert found.fps.tolist() == pytest.approx([30, 30, 30, 25, 30, 30, 30, 30])
    assert found.duration.tolist() == pytest.approx([2 / 3] * 3 + [2.0] + [2 / 3] * 4)
    assert (
        found.height.tolist() == [48] * 3 + [64] + [48] * 4
        and found.width.tolist() == [80] * 3 + [64] + [80] * 4
    )
    pd.testing.assert_frame_equal(build_index(made.entries, _card(), made.folder, workers=3), found)


@pytest.fixture
def dirty(tmp_path):
    """Eight clips: 0 and 1 sound, 2 text, 3 of 3 frames, 4 gone, 5 as .webm, 6 as pictures, 7 empty."""
    made = toy_dataset(tmp_path, frames=20)
    paths = [made.folder / path for path in made.entries.path]
    paths[2].write_text("no video")
    write_code_video(paths[3], frames=3)
    for gone in paths[4:7]:
        gone.unlink()
    write_code_video(paths[5].with_suffix(".webm"), codec="libvpx")
    paths[6].with_suffix("").mkdir()
    for number in range(12):
        Image.fromarray(code_picture(6, number)).save(paths[6].with_suffix("") / f"{number}.png")
    paths[7].write_bytes(b"")
    return made


def test_what_is_wrong_with_a_clip(dirty, tmp_path):
    card = _card(min_frames=4, expected={"train": [2, 4], "val": [1, None]})
    found = build_index(dirty.entries, card, dirty.folder)
    kinds = ["", "", "unreadable", "too short", "missing", "", "", "unreadable"]
    assert [problem.partition(":")[0] for problem in found.problem] == kinds
    assert found.problem[3] == "too short: 3 frames, expected 4 (min_frames in the card)"
    assert (
        found.problem[4] == "missing: no such file" and found.problem[7] == "unreadable: empty file"
    )
    assert "Invalid data" in found.problem[2]
    stems = [path.removesuffix(".mp4") for path in dirty.entries.path]
    assert found.file.tolist() == [
        path if number not in (4, 5, 6) else {4: "", 5: stems[5] + ".webm", 6: stems[6]}[number]
        for number, path in enumerate(dirty.entries.path)
    ]
    assert found.frames.tolist() == [20, 20, 0, 3, 0, 30, 12, 0]
    assert found.decoder.tolist() == [
        "decord",
        "decord",
        "",
        "decord",
        "",
        "decord",
        "pictures",
        "",
    ]
    assert (found.fps[6], found.duration[6]) == (0.0, 0.0)
    assert report(found, card).splitlines() == [
        "train: 4 clips of 2 classes listed (expected 4 of 2), 2 usable, 1 unreadable, 1 too short",
        "val: 2 clips of 1 classes listed (expected any of 1), 1 usable, 1 missing",
        "test: 2 clips of 1 classes listed, 1 usable, 1 unreadable",
        "decoded by: decord 3, pictures 1",
    ]
    write_problems(tmp_path / "problems.tsv", found)
    with open(tmp_path / "problems.tsv", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert list(rows[0]) == ["row", "split", "class", "path", "file", "kind", "reason"]
    assert [(row["row"], row["kind"]) for row in rows] == [(str(i), kinds[i]) for i in (2, 3, 4, 7)]
    write_problems(tmp_path / "none.tsv", found[:2])
    assert (tmp_path / "none.tsv").read_text() == "row\tsplit\tclass\tpath\tfile\tkind\treason\n"
    assert (
        rows[2]["path"] == dirty.entries.path[4]
        and rows[2]["reason"] == "no such file"
        and rows[2]["file"] == ""
    )


def test_frames_come_from_the_file_that_was_found(dirty):
    index = build_index(dirty.entries, _card(max_failures=1.0), dirty.folder)
    (block,) = frame_store.blocks(toy_frame_spec(count=3), index, dirty.folder, range(8))
    assert [failure["row"] for failure in block.failures] == [2, 4, 7]
    assert block.counts == {"decord": 4, "pictures": 1}
    # Segments of 12 pictures: the middle ones of 4.
    assert read_codes(block.arrays["frames"][6]) == [(6, 1), (6, 5), (6, 9)]


@pytest.mark.parametrize(
    ("broken", "threshold", "refused"),
    [(0, 0.0, False), (1, 0.0, True), (13, 0.1, True), (12, 0.1, False)],
)
def test_the_threshold_is_a_share_of_all_clips(broken, threshold, refused):
    index = toy_index()  # 128 clips
    index.loc[: broken - 1, "problem"] = "missing: no such file"
    if refused:
        assert _failure(lambda: check_failures(index, threshold, "videos", "problems.tsv")) == (
            f"{broken} of 128 clips below videos cannot be used, first '{index.path[0]}': missing: no such file; expected at "
            f"most {threshold:.1%} (max_failures in the card): mend the files or raise the threshold; all are listed in "
            f"problems.tsv"
        )
    else:
        check_failures(index, threshold, "videos", "problems.tsv")


def test_a_missing_folder_says_what_to_do(tmp_path):
    made = toy_dataset(tmp_path, videos=False)
    made.folder.rmdir()
    assert _failure(lambda: build_index(made.entries, _card(), made.folder)) == (
        f"video folder {made.folder} of 'Toy' is missing; put the videos there or change roots.data"
    )


def test_the_number_of_jobs_follows_the_size():
    assert job_count(71_796, 512) == 141  # SSv2-Full
    assert job_count(220_847, 512) == 432  # every video of Something-Something V2
    assert job_count(1, 512) == 1 and job_count(513, 512) == 2


SOURCES = [("mp4", "libx264"), ("mkv", "ffv1"), ("avi", "mpeg4"), ("webm", "libvpx")]


def _mutated(data: bytes, kind: str, random: np.random.Generator) -> bytes:
    if kind == "cut":
        return data[: random.integers(1, len(data))]
    if kind == "empty":
        return b""
    if kind == "zeroed":
        start = random.integers(len(data))
        return data[:start] + bytes(random.integers(1, 2000)) + data[start + 2000 :]
    flipped = bytearray(data)
    for place in random.integers(0, len(data), 1 if kind == "one byte" else len(data) // 100):
        flipped[place] ^= int(random.integers(1, 256))
    return bytes(flipped)


@pytest.mark.slow
def test_200_mutated_files(tmp_path):
    """No crash, no hang, and every file is accounted for: a problem in the index, a failure of the store, or frames."""
    kinds = ["cut", "empty", "zeroed", "one byte", "many bytes", "other extension"]
    made = toy_dataset(tmp_path, clips=50, videos=False)
    for number, path in enumerate(made.entries.path):
        (suffix, codec), random = SOURCES[number % 4], rng(0, "mutated", number)
        whole = write_code_video(tmp_path / f"whole.{suffix}", frames=24, clip=number, codec=codec)
        target = (made.folder / path).with_suffix(f".{suffix}")
        target.parent.mkdir(parents=True, exist_ok=True)
        kind = kinds[number // 4 % len(kinds)]
        if kind == "other extension":
            shutil.copy(whole, made.folder / path)
        else:
            target.write_bytes(_mutated(whole.read_bytes(), kind, random))
    index = build_index(made.entries, _card(max_failures=1.0), made.folder, workers=2, timeout=20)
    assert (
        len(index) == 200
        and (index.file != "").all()
        and not index.problem.str.contains("crashed|no answer").any()
    )
    blocks = list(
        frame_store.blocks(toy_frame_spec(), index, made.folder, range(200), workers=2, timeout=20)
    )
    failed = {failure["row"]: failure["problem"] for block in blocks for failure in block.failures}
    assert not any("crashed" in problem or "no answer" in problem for problem in failed.values())
    frames = np.concatenate([block.arrays["frames"] for block in blocks])
    assert [row for row in range(200) if frames[row].any() == (row in failed)] == []
    assert set(index.row[index.problem != ""]) <= set(failed)
    counts = sum((Counter(block.counts) for block in blocks), Counter())
    assert counts["decord"] + counts["pyav"] == 200 - len(failed)
    of_kind = {
        kind: [number for number in range(200) if kinds[number // 4 % len(kinds)] == kind]
        for kind in kinds
    }
    assert set(of_kind["empty"]) <= set(failed) and not set(of_kind["other extension"]) & set(
        failed
    )
    assert 40 < len(failed) < 160
