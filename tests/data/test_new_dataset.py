"""A card for a folder of one's own: names only, class-disjoint, and nothing overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fsar_core.__main__ import main
from fsar_core.config import SPLITS, Card, load
from fsar_core.data import splits
from fsar_core.data.new_dataset import _spread, propose
from fsar_core.errors import FsarError

ROOT = Path(__file__).resolve().parents[2]


def folder_of(root: Path, classes: dict[str, list[str]]) -> Path:
    for name, clips in classes.items():
        (root / name).mkdir(parents=True)
        for clip in clips:
            (root / name / clip).write_text(f"{name}/{clip}")
    return root


@pytest.fixture
def videos(tmp_path) -> Path:
    return folder_of(
        tmp_path / "My videos!",
        {f"class {n}": ["a (1).mp4", "b&c.AVI", "d.webm"] for n in range(12)},
    )


@settings(max_examples=100, deadline=None)
@given(count=st.integers(3, 120), way=st.integers(2, 10), seed=st.integers(0, 99))
def test_every_class_is_in_one_split_and_way_is_kept_where_it_can_be(count, way, seed):
    names = [f"c{n:03}" for n in range(count)]
    split_of = _spread(Path("videos"), names, {}, way, seed)
    assert sorted(split_of) == names
    sizes = {split: list(split_of.values()).count(split) for split in SPLITS}
    assert min(sizes.values()) >= 1
    if count >= 3 * way:
        assert min(sizes.values()) >= way
    if count >= 40:
        assert (
            abs(sizes["train"] - count / 2) <= max(way, 2)
            and abs(sizes["test"] - sizes["val"]) <= 1
        )


def test_the_seed_decides():
    names = [f"c{n}" for n in range(20)]
    first, again, other = (_spread(Path("v"), names, {}, 5, seed) for seed in (0, 0, 1))
    assert first == again != other


def test_chosen_classes_stay_where_they_are_put(videos):
    chosen = {"test": ["class 0", "class 1"], "val": ["class 2"]}
    entries = propose(videos, chosen).entries
    found = {split: sorted(part["class"].unique()) for split, part in entries.groupby("split")}
    assert (
        found["test"] == ["class 0", "class 1"]
        and found["val"] == ["class 2"]
        and len(found["train"]) == 9
    )
    entries = propose(videos, {"test": ["class 0"]}, way=3).entries
    assert {split: part["class"].nunique() for split, part in entries.groupby("split")} == {
        "test": 1,
        "val": 4,
        "train": 7,
    }


def test_entries_are_in_order_and_names_are_kept(videos):
    entries = propose(
        videos, {"train": [f"class {n}" for n in range(10)], "val": ["class 10"]}
    ).entries
    assert entries.split.tolist() == ["train"] * 30 + ["val"] * 3 + ["test"] * 3
    assert entries.path.tolist()[-3:] == [
        "class 11/a (1).mp4",
        "class 11/b&c.AVI",
        "class 11/d.webm",
    ]
    assert set(entries.group) == {""}


def test_what_is_no_clip_is_counted(videos):
    (videos / "notes.txt").write_text("x")
    (videos / "class 3" / "thumbs.db").write_text("x")
    (videos / "class 3" / ".hidden.mp4").write_text("x")
    (videos / "class 3" / "empty folder").mkdir()
    folder_of(videos / "class 3", {"frames of e": ["1.jpg", "2.jpg"]})
    found = propose(videos)
    assert found.ignored == ["class 3/empty folder", "class 3/thumbs.db", "notes.txt"]
    assert "class 3/frames of e" in found.entries.path.tolist() and len(found.entries) == 37
    assert found.report()[-1] == "ignored: 3 files that are no video, first 'class 3/empty folder'"


def test_a_link_to_itself_is_reported_and_costs_no_folder(videos):
    (videos / "class 3" / "loop.mp4").symlink_to("loop.mp4")
    (videos / "class 3" / "gone.mp4").symlink_to("nowhere.mp4")
    (videos / "loop").symlink_to("loop")
    found = propose(videos)
    assert len(found.entries) == 36 and found.ignored == []
    assert found.broken == ["class 3/gone.mp4", "class 3/loop.mp4", "loop"]
    assert (
        found.report()[-1] == "broken links: 3, first 'class 3/gone.mp4'; these clips are left out"
    )


def test_a_link_to_elsewhere_is_reported(videos, tmp_path):
    (tmp_path / "private.mp4").write_text("private")
    (videos / "class 3" / "x.mp4").symlink_to(tmp_path / "private.mp4")
    assert propose(videos).report()[-1] == (
        "cannot be read: 1 clips, first 'class 3/x.mp4': 'class 3/x.mp4' is a link that leads out of the data set's folder"
    )


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        (
            ["v_Archery_g01_c01.avi", "v_Archery_g01_c02.avi", "v_Archery_g12_c01.avi"],
            ["v_Archery_g01"] * 2 + ["v_Archery_g12"],
        ),
        (
            ["(HQ)_Film_kick_f_cm_np1_ba_bad_0.avi", "A[1]_kick_u_nm_np2_fr_goo_3.avi"],
            ["(HQ)_Film_kick", "A[1]_kick"],
        ),
        (
            ["-a_b-c_d-e1_000012_000022.mp4", "0123456789a_000001_000011.mp4"],
            ["-a_b-c_d-e1", "0123456789a"],
        ),
        (["v_Archery_g01_c01.avi", "other.avi"], ["", ""]),
    ],
)
def test_sources_are_read_off_known_names(tmp_path, names, groups):
    entries = propose(folder_of(tmp_path, {c: names for c in "abc"})).entries
    assert entries[entries["class"] == "a"].group.tolist() == [
        g for _, g in sorted(zip(names, groups))
    ]


@pytest.mark.parametrize(
    ("classes", "chosen", "words"),
    [
        (
            {"a": ["1.mp4"], "b": ["1.mp4"]},
            {},
            "2 classes, of which 2 are left for train and val and test; expected at least",
        ),
        ({"a": ["1.txt"]}, {}, "holds no class/clip with one of .mp4, .webm"),
        ({c: ["1.mp4"] for c in "abc"}, {"test": ["d"]}, "no class 'd'; valid: a, b, c"),
        ({c: ["1.mp4"] for c in "abc"}, {"test": ["a"], "val": ["a"]}, "class 'a' is chosen for"),
        (
            {c: ["1.mp4"] for c in "abcd"},
            {"test": ["a"], "val": ["b"], "train": ["c"]},
            "class 'd' is chosen for no split",
        ),
    ],
)
def test_mistakes(tmp_path, classes, chosen, words):
    with pytest.raises(FsarError) as error:
        propose(folder_of(tmp_path, classes), chosen)
    assert words in str(error.value)


# -- the verb --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A folder with config.yaml and an empty workflow, as the user's clone."""
    (tmp_path / "clone" / "workflow" / "datasets").mkdir(parents=True)
    (tmp_path / "clone" / "config.yaml").write_text((ROOT / "config.yaml").read_text())
    monkeypatch.chdir(tmp_path / "clone")
    return tmp_path / "clone"


def test_a_folder_elsewhere_is_linked_below_the_data_root(project, videos, capsys):
    assert main(["init-dataset", str(videos), "--test", "class 0", "class 1"]) == 0
    target = project / "workflow" / "datasets" / "My_videos"
    card = load(Card, target / "card.yaml")
    assert (card.folder, card.flip, card.modality, card.groups) == (
        "My_videos",
        False,
        "temporal",
        False,
    )
    assert (project / "data" / "My_videos").resolve() == videos.resolve()
    assert len(splits.read(target / "split.tsv")) == 36
    out = capsys.readouterr().out
    assert "test   2 classes, 6 clips (3 to 3 a class): class 0, class 1" in out
    assert "datasets={ssv2_small: My_videos, ssv2_full: My_videos}" in out


def test_a_folder_below_the_data_root_is_used_as_it_is(project):
    folder_of(project / "data" / "inner" / "set", {c: [f"v_{c}_g01_c01.mp4"] for c in "abcd"})
    assert main(["init-dataset", "data/inner/set", "--name", "mine", "--flip", "--spatial"]) == 0
    card = yaml.safe_load((project / "workflow" / "datasets" / "mine" / "card.yaml").read_text())
    assert (card["folder"], card["flip"], card["modality"], card["groups"]) == (
        "inner/set",
        True,
        "spatial",
        True,
    )
    assert not (project / "data" / "mine").exists()


def test_nothing_is_overwritten(project, videos, capsys):
    assert main(["init-dataset", str(videos)]) == 0
    assert main(["init-dataset", str(videos)]) == 2
    assert (
        "card.yaml is there already; remove that folder, or choose another --name"
        in capsys.readouterr().err
    )
    (project / "data" / "other").mkdir()
    assert main(["init-dataset", str(videos), "--name", "other"]) == 2
    assert "data/other is there already and is not" in capsys.readouterr().err
    assert not (project / "workflow" / "datasets" / "other").exists()


@pytest.mark.parametrize("name", ["my set", "a/b", "..", "", "größe"])
def test_a_name_that_the_workflow_cannot_hold_is_told(project, videos, capsys, name):
    before = sorted(project.rglob("*"))
    assert main(["init-dataset", str(videos), "--name", name]) == 2
    assert capsys.readouterr().err == (
        f"fsar: error: --name: '{name}' is no name of a data set; choose one of A-Z, a-z, 0-9, _ and - only, 100 at most\n"
    )
    assert sorted(project.rglob("*")) == before


def test_a_folder_that_links_to_itself_is_told(project, capsys):
    (project / "loop").symlink_to("loop")
    assert main(["init-dataset", "loop"]) == 2
    assert (
        "loop: no such folder; expected one that holds class/clip files" in capsys.readouterr().err
    )


def test_a_missing_folder_is_told(project, capsys):
    assert main(["init-dataset", "nowhere"]) == 2
    assert (
        "nowhere: no such folder; expected one that holds class/clip files"
        in capsys.readouterr().err
    )
