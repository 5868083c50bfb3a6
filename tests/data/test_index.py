"""The clip index as a file: it gives back what was written, and says what is wrong with one that is none."""

from __future__ import annotations

import hashlib

import pandas as pd
import pytest

from fsar_core.data.index import index_identity, read_index, write_index
from fsar_core.errors import FsarError
from tests.builders import toy_index


def _failure(call) -> str:
    with pytest.raises(FsarError) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


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
    assert "no readable clip index (No columns to parse from file)" in _failure(
        lambda: read_index(path)
    )
    path.write_text("split\tclass\tpath\tgroup\ntrain\ta\tb\tc\n")
    assert _failure(lambda: read_index(path)) == (
        f"{path}: no clip index, the column 'row' is missing; make it with `fsar index`"
    )
    assert "no readable clip index (Is a directory)" in _failure(lambda: read_index(tmp_path))


def test_the_last_line_is_the_sum_of_all_others(tmp_path):
    path = tmp_path / "index.tsv"
    write_index(path, toy_index({"train": 1}, clips=2))
    above, last = path.read_bytes().split(b"# clip index")
    assert last == f", format 1, sha256 {hashlib.sha256(above).hexdigest()}\n".encode()
    assert above.count(b"\n") == 3 and above.startswith(b"row\tsplit\tclass\t")


def test_an_index_of_before_there_were_sums(tmp_path):
    index = toy_index({"train": 1}, clips=3)
    index.to_csv(tmp_path / "index.tsv", sep="\t", index=False)
    pd.testing.assert_frame_equal(read_index(tmp_path / "index.tsv"), index)
    index.assign(row=[0, 2, 1]).to_csv(tmp_path / "index.tsv", sep="\t", index=False)
    assert "damaged (its rows are not numbered 0, 1, 2, ...)" in _failure(
        lambda: read_index(tmp_path / "index.tsv")
    )


def test_every_changed_or_missing_byte_is_found(tmp_path):
    path, index = tmp_path / "index.tsv", toy_index({"train": 1}, clips=2)
    write_index(path, index)
    whole = path.read_bytes()
    for at in range(len(whole)):
        for changed in (b"", bytes([whole[at] ^ 1]), bytes([whole[at] ^ 0x20])):
            path.write_bytes(whole[:at] + changed + whole[at + 1 :])
            if (at, changed) == (len(whole) - 1, b""):  # the last line break says nothing
                pd.testing.assert_frame_equal(read_index(path), index)
                continue
            message = _failure(lambda: read_index(path))
            assert message.startswith(f"{path}: ") and message.endswith(
                f"mend it with `fsar repair {path}`"
            )


def test_a_newer_format_is_refused_politely(tmp_path):
    path = tmp_path / "index.tsv"
    write_index(path, toy_index({"train": 1}, clips=2))
    path.write_bytes(path.read_bytes().replace(b"format 1,", b"format 2,"))
    assert _failure(lambda: read_index(path)).startswith(
        f"{path}: has format 2, and this fsar knows formats up to 1: "
    )


def test_the_identity_is_of_the_listed_rows_alone():
    index = toy_index()
    measured = index.copy()
    measured.loc[0, ["frames", "decoder", "problem", "file"]] = [99, "pyav", "too short", "x.mp4"]
    assert index_identity(measured) == index_identity(index)
    assert len(index_identity(index)) == 64
    for column, value in {"split": "test", "class": "other", "path": "q.mp4", "group": "g"}.items():
        changed = index.copy()
        changed.loc[3, column] = value
        assert index_identity(changed) != index_identity(index), column
