import io
import os
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from fsar_core.episodes import tables
from fsar_core.episodes.sampler import Split, sample
from fsar_core.errors import FsarError
from fsar_core.specs import EpisodeSpec
from tests.builders import toy_index

ARRAYS = ("classes", "support", "query", "labels")


def spec_of(**changes) -> EpisodeSpec:
    usual = dict(
        dataset="toy",
        card="0",
        split="test",
        way=3,
        shot=2,
        query=2,
        count=6,
        seed=4,
        group_disjoint=False,
    )
    return EpisodeSpec(**usual | changes)


@pytest.fixture
def split() -> Split:
    return Split.from_index(toy_index(), "test")


@pytest.fixture
def stored(tmp_path, split):
    path = tmp_path / "episodes.npz"
    tables.save(path, tables.draw(spec_of(), split))
    return path


@pytest.mark.parametrize("group_disjoint", [False, True])
def test_a_table_holds_the_episodes_of_its_spec(split, group_disjoint):
    spec = spec_of(group_disjoint=group_disjoint)
    table = tables.draw(spec, split)
    assert len(table) == 6 and table.class_names == split.classes
    assert table.support.shape == (6, 3, 2) and table.query.shape == table.labels.shape == (6, 6)
    for index in (0, 3, 5):
        expected = sample(4, split, 3, 2, 2, index, group_disjoint=group_disjoint)
        for name in ARRAYS:
            np.testing.assert_array_equal(getattr(table[index], name), getattr(expected, name))
        assert table[index].views is None


def test_more_episodes_begin_with_the_same_ones(split):
    few, many = tables.draw(spec_of(), split), tables.draw(spec_of(count=9), split)
    np.testing.assert_array_equal(many.support[:6], few.support)
    np.testing.assert_array_equal(many.query[:6], few.query)


def test_rows_are_those_of_support_and_query(split):
    table = tables.draw(spec_of(count=1, query=1), split)
    expected = sorted({*table.support.reshape(-1).tolist(), *table.query.reshape(-1).tolist()})
    assert table.rows.tolist() == expected and len(expected) == 9


def test_too_few_clips_are_told_before_drawing(split):
    with pytest.raises(FsarError, match="class 'test class 00' of split 'test' has 8 usable clips"):
        tables.draw(spec_of(shot=7), split)
    with pytest.raises(FsarError, match="of 4 source videos cannot give 7 support"):
        tables.draw(spec_of(shot=7, query=1, group_disjoint=True), split)


def test_round_trip(stored, split):
    drawn, found = tables.draw(spec_of(), split), tables.load(stored, spec_of())
    assert found.spec == spec_of() and found.class_names == split.classes
    for name in ARRAYS:
        assert getattr(found, name).dtype == np.int64
        np.testing.assert_array_equal(getattr(found, name), getattr(drawn, name))
    assert tables.load(stored).spec == spec_of()


def test_class_names_of_any_language_survive(tmp_path):
    index = toy_index()
    index["class"] = index["class"].replace(
        {"test class 00": "Übung, “quoted” 投げる", "test class 01": "a/b; $(rm)"}
    )
    table = tables.draw(spec_of(), Split.from_index(index, "test"))
    tables.save(tmp_path / "t.npz", table)
    found = tables.load(tmp_path / "t.npz").class_names
    assert found == table.class_names and "Übung, “quoted” 投げる" in found


def test_equal_tables_are_equal_bytes(stored, split, tmp_path):
    tables.save(tmp_path / "again.npz", tables.draw(spec_of(), split))
    assert (tmp_path / "again.npz").read_bytes() == stored.read_bytes()
    with zipfile.ZipFile(stored) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_another_spec_is_refused_and_named(stored):
    with pytest.raises(
        FsarError, match=r"drawn by another spec: way: expected 5, found 3; remove it"
    ):
        tables.load(stored, spec_of(way=5))
    with pytest.raises(FsarError, match=r"group_disjoint: expected True, found False"):
        tables.load(stored, spec_of(group_disjoint=True))


def test_a_missing_table_is_told(tmp_path):
    with pytest.raises(FsarError, match=r"absent\.npz: no such episode table; run snakemake"):
        tables.load(tmp_path / "absent.npz")


class Harmful:
    """Unpickling this would create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def without_labels(whole: bytes) -> bytes:
    stream = io.BytesIO()
    with np.load(io.BytesIO(whole)) as arrays:
        np.savez(stream, **{name: arrays[name] for name in arrays.files if name != "labels"})
    return stream.getvalue()


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:-1],
        lambda whole: whole[:120] + bytes(40) + whole[160:],
        lambda whole: b"",
        lambda whole: b"episode,clip\n0,1\n",
        without_labels,
    ],
    ids=["half", "last byte", "zeros inside", "empty", "text", "no labels"],
)
def test_a_damaged_table_is_refused(stored, damage):
    stored.write_bytes(damage(stored.read_bytes()))
    with pytest.raises(FsarError, match="damaged episode table") as caught:
        tables.load(stored)
    assert "\n" not in str(caught.value) and str(stored) in str(caught.value)


def test_every_changed_or_missing_byte_is_found_or_harmless(tmp_path, split):
    path = tmp_path / "t.npz"
    tables.save(path, tables.draw(spec_of(count=4), split))
    whole, drawn = path.read_bytes(), tables.load(path)
    for at in range(0, len(whole), 17):
        for changed in (b"", bytes([whole[at] ^ 1]), bytes([whole[at] ^ 0x40])):
            path.write_bytes(whole[:at] + changed + whole[at + 1 :])
            try:
                found = tables.load(path)
                assert found.spec == drawn.spec and found.class_names == drawn.class_names
                assert all(
                    np.array_equal(getattr(found, name), getattr(drawn, name)) for name in ARRAYS
                )
            except FsarError as error:
                assert str(error).endswith(f"mend it with `fsar repair {path}`")


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"'<i8'", b"'<i4'"), (b"(2000, ", b"(1000, ")],
    ids=["numbers of half the size", "half the episodes"],
)
@pytest.mark.parametrize("name", ARRAYS)
def test_a_changed_header_in_a_large_table_is_found(tmp_path, split, name, old, new):
    """numpy then reads a part of the member and never meets its checksum, as it does in a small one that is read at once."""
    path, member = tmp_path / "t.npz", f"{name}.npy"
    tables.save(path, tables.draw(spec_of(count=2000), split))
    with zipfile.ZipFile(path) as archive:
        members = {entry.filename: archive.read(entry) for entry in archive.infolist()}
        checksums = {entry.filename: entry.CRC for entry in archive.infolist()}
    assert members[member].count(old) == 1
    _write_with_old_checksums(
        path, members | {member: members[member].replace(old, new)}, checksums
    )
    with np.load(path) as stored:
        assert stored[name].nbytes < len(members[member]) * 0.6  # numpy itself does not object
    with pytest.raises(FsarError, match=r"t\.npz: damaged episode table"):
        tables.load(path)


def _write_with_old_checksums(path, members, checksums):
    """A compressed zip file of these members that claims the checksums of others."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    whole = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if checksums[entry.filename] != entry.CRC:
                old, new = (
                    crc.to_bytes(4, "little") for crc in (entry.CRC, checksums[entry.filename])
                )
                assert whole.count(old) == 2  # in the member's header and in the directory
                whole = whole.replace(old, new)
    path.write_bytes(whole)


def test_one_poor_class_is_told_before_anything_is_drawn(tmp_path):
    """Even where no episode would have met it: of five classes an episode takes two, and there is one."""
    index = toy_index()
    poor = index[(index.split == "test") & (index["class"] == "test class 04")].index
    index.loc[poor, "group"] = "one source"
    split, spec = Split.from_index(index, "test"), spec_of(way=2, count=1, group_disjoint=True)
    seeds = [seed for seed in range(20) if 4 not in sample(seed, split, 2, 2, 2, 0).classes]
    assert len(seeds) > 5
    for seed in seeds:
        with pytest.raises(
            FsarError,
            match="class 'test class 04' of split 'test': 8 clips of 1 source videos cannot",
        ):
            tables.draw(spec.model_copy(update={"seed": seed}), split)
    assert len(tables.draw(spec.model_copy(update={"group_disjoint": False}), split)) == 1


def test_in_many_episodes_no_source_is_on_both_sides(tmp_path):
    index = toy_index()
    split = Split.from_index(index, "test")
    group = index.group.to_numpy()
    for disjoint in (True, False):
        table = tables.draw(spec_of(count=300, group_disjoint=disjoint), split)
        shared = [
            set(group[e.support].flat) & set(group[e.query])
            for e in (table[i] for i in range(len(table)))
        ]
        assert any(shared) is not disjoint


def test_a_table_knows_the_index_it_was_drawn_from(tmp_path, split):
    tables.save(tmp_path / "t.npz", tables.draw(spec_of(), split, "a" * 64))
    found = tables.load(tmp_path / "t.npz", spec_of())
    assert found.index == "a" * 64
    tables.save(tmp_path / "old.npz", tables.draw(spec_of(), split))
    old = tables.load(tmp_path / "old.npz", spec_of())
    assert old.index is None and old.content == found.content


def test_content_is_that_of_the_episodes(split):
    table = tables.draw(spec_of(), split)
    assert table.content == tables.draw(spec_of(), split).content
    others = [tables.draw(spec_of(seed=5), split), tables.draw(spec_of(count=7), split)]
    for name in ARRAYS:
        array = getattr(table, name).copy()
        array.flat[-1] += 1
        others.append(replace(table, **{name: array}))
    others.append(replace(table, class_names=table.class_names[::-1]))
    assert len({one.content for one in (table, *others)}) == 8


def test_a_newer_format_is_refused_politely(stored):
    with np.load(stored) as arrays:
        parts = {name: arrays[name] for name in arrays.files}
    np.savez(stored, **parts | {"format": np.array(2)})
    with pytest.raises(
        FsarError,
        match=r"has format 2, and this fsar knows formats up to 1: use the fsar that wrote it",
    ):
        tables.load(stored)
    np.savez(stored, **{name: value for name, value in parts.items() if name != "format"})
    assert tables.load(stored).spec == spec_of()  # of before there were formats


def test_pickled_objects_are_not_run(stored, tmp_path):
    trap = tmp_path / "trap"
    with np.load(stored) as arrays:
        parts = {name: arrays[name] for name in arrays.files}
    parts["labels"] = np.array([Harmful(trap)], dtype=object)
    np.savez(stored, **parts)
    with pytest.raises(FsarError, match="damaged episode table"):
        tables.load(stored)
    assert not trap.exists()
