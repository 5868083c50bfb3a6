"""What things were made from: identities of stores, comparisons, and lines that say what to do."""

from __future__ import annotations

import shlex
from types import SimpleNamespace

import pytest

from fsar_core.errors import FsarError
from fsar_core.storage.bindings import changed, check_episodes, check_index, remake, store_content
from fsar_core.storage.object_paths import ObjectPath


def reader(content="c", failed=(), **inputs):
    return SimpleNamespace(
        store="stores/x", content=content, failed=frozenset(failed), inputs=inputs
    )


def test_a_store_is_what_its_shards_hold_and_which_rows_failed():
    assert store_content(reader(failed=[3, 1])) == store_content(reader(failed=[1, 3], index="i"))
    others = [reader(), reader("d"), reader(failed=[1]), reader(failed=[1, 3])]
    assert len({store_content(one) for one in others}) == 4


def test_only_what_both_sides_know_is_compared():
    assert changed({}, {"a": "1"}) == changed({"a": "1"}, {}) == []
    assert changed({"b": "1", "a": "1", "c": "1"}, {"b": "2", "a": "2", "c": "1"}) == ["a", "b"]


def test_an_index_is_that_of_every_store(tmp_path):
    path = tmp_path / "index.tsv"
    check_index(path, "i", [reader(), reader(index="i")])  # one is older than the record
    for store in (tmp_path / "s", ObjectPath.parse("s3://bucket/s")):
        other = SimpleNamespace(store=store, inputs={"index": "j"})
        with pytest.raises(FsarError) as error:
            check_index(path, "i", [reader(index="i"), other])
        line = str(error.value)
        assert line.startswith(
            f"{path}: lists other clips than the index that {store} was made from; "
        )
        assert "snakemake --cores all -R clip_index" in line


@pytest.mark.parametrize("recorded", [None, "i"])
def test_episodes_of_the_stores_index_or_of_before_it_was_recorded(recorded):
    check_episodes("t.npz", recorded, "s", {"index": "i"})
    check_episodes("t.npz", recorded, "s", {})


def test_episodes_of_another_index():
    with pytest.raises(
        FsarError,
        match=r"^t\.npz: drawn from a clip index of other clips than s was made from; make it ",
    ):
        check_episodes("t.npz", "j", "s", {"index": "i"})


def test_commands_can_be_pasted(tmp_path):
    told = remake("train_head", tmp_path / "a b" / "checkpoint.pt")
    command = shlex.split(told.removeprefix("make it again with `").removesuffix("`"))
    assert command == [
        "snakemake",
        "--cores",
        "all",
        "-R",
        "train_head",
        "--",
        str(tmp_path / "a b" / "checkpoint.pt"),
    ]
    # An object has another name for Snakemake than its address.
    assert remake("fill_features", ObjectPath.parse("s3://bucket/s")).endswith("-R fill_features`")
