import pandas as pd
import pytest

from fsar_core.data.index import COLUMNS, write_index
from fsar_core.papers.kinds import TableInputs
from fsar_core.papers.registry import validate_table
from fsar_core.rendering import tables
from fsar_core.tables.datasets import DatasetsTable, IndexCounts, count, frame

TABLE = {
    "kind": "datasets",
    "title": "Toy data",
    "where": "Nobody et al., Table I",
    "notes": ["A note."],
    "rows": [
        {
            "dataset": name,
            "name": label,
            "reference": "CMN",
            "modality": "Spatial",
            "classes": {"train": 64, "val": 12, "test": 24},
            "videos": {"train": 6400, "val": 1200, "test": 2400},
        }
        for name, label in (("ucf101", "UCF101"), ("hmdb51", "HMDB51"))
    ],
}
# (split, class, problem) of every clip: 3 + 1 + 2 that can be used, of 2, 1 and 1 classes; class c is broken altogether.
CLIPS = [
    ("train", "a", ""),
    ("train", "a", ""),
    ("train", "b", ""),
    ("train", "c", "missing: no file"),
]
CLIPS += [("val", "d", ""), ("test", "e", ""), ("test", "e", ""), ("test", "e", "broken: no frame")]


@pytest.fixture
def index(tmp_path):
    rows = [
        {**dict.fromkeys(COLUMNS, ""), **dict.fromkeys(COLUMNS[6:11], 0), "row": row}
        | {"split": split, "class": name, "path": f"{name}/{row}", "problem": problem}
        for row, (split, name, problem) in enumerate(CLIPS)
    ]
    write_index(tmp_path / "index.tsv", pd.DataFrame(rows, columns=list(COLUMNS)))
    return tmp_path / "index.tsv"


def table() -> DatasetsTable:
    return validate_table(TABLE, "toy_table1.yaml")


def written(tmp_path, index, behind):
    cards = set(behind.values())
    indices, modalities = dict.fromkeys(cards, index), dict.fromkeys(cards, "spatial")
    inputs = TableInputs("toy", 5, behind, indices=indices, modalities=modalities)
    made, blocks = table().make(inputs)
    tables.write(tmp_path / "out" / "toy", made, table().title, blocks, table().notes)
    return [
        (tmp_path / "out" / f"toy.{ending}").read_text(encoding="utf-8")
        for ending in ("csv", "md", "tex")
    ]


PRINTED = "64,12,24,6400,1200,2400"
HEAD = (
    "dataset,name,reference,modality,behind,train_classes,val_classes,test_classes,train_videos,val_videos,test_videos,unusable,"
    "train_classes_published,val_classes_published,test_classes_published,"
    "train_videos_published,val_videos_published,test_videos_published"
)


def test_a_card_of_another_name_has_a_row_of_its_own(tmp_path, index):
    csv, md, tex = written(tmp_path, index, {"hmdb51": "demo", "ucf101": "demo"})
    assert csv.splitlines() == [
        HEAD,
        f"ucf101,UCF101,CMN,Spatial,,,,,,,,,{PRINTED}",
        f"hmdb51,HMDB51,CMN,Spatial,,,,,,,,,{PRINTED}",
        "demo,,,spatial,ucf101 hmdb51,2,1,1,3,1,2,2,,,,,,",
    ]
    lines = md.splitlines()
    assert lines[0] == "# Toy data" and lines[-1] == "- A note."
    assert [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in lines
        if line.startswith("| ")
    ] == [
        ["Data set", "Stands behind", "Modality"]
        + [
            f"{what} {split}"
            for what in ("Classes", "Videos")
            for split in ("train", "val", "test")
        ]
        + ["Unusable"],
        ["demo", "UCF101, HMDB51", "spatial", "2", "1", "1", "3", "1", "2", "2"],
        ["Data set", "Split reference", "Modality"]
        + [
            f"{what} {split}"
            for what in ("Classes", "Videos")
            for split in ("train", "val", "test")
        ],
        ["UCF101", "CMN", "Spatial", *PRINTED.split(",")],
        ["HMDB51", "CMN", "Spatial", *PRINTED.split(",")],
    ]
    assert tex.count(r"\begin{table}") == tex.count(r"\bottomrule") == 2 and r"Table I.}" in tex


def test_printed_and_counted_share_a_row_of_the_same_data_set(tmp_path, index):
    csv, md, _ = written(tmp_path, index, {"ucf101": "ucf101", "hmdb51": "demo"})
    assert csv.splitlines()[1:] == [
        f"ucf101,UCF101,CMN,Spatial,ucf101,2,1,1,3,1,2,2,{PRINTED}",
        f"hmdb51,HMDB51,CMN,Spatial,,,,,,,,,{PRINTED}",
        "demo,,,spatial,hmdb51,2,1,1,3,1,2,2,,,,,,",
    ]
    assert "| 3 (printed 6400)" in md and "| 2 (printed 64)" in md
    assert [
        line for line in md.splitlines() if line.startswith("| demo ") and "printed" in line
    ] == []


def test_a_card_that_stands_for_another_data_set_of_the_paper():
    """Printed numbers of hmdb51 stay in its row, those counted in its place stand in the row of ucf101."""
    counted = {"ucf101": IndexCounts("spatial", dict.fromkeys(("train", "val", "test"), 1), {}, 0)}
    counted["ucf101"].videos.update(train=5, val=6, test=7)
    found = frame(table(), {"ucf101": "ucf101", "hmdb51": "ucf101"}, counted).set_index("dataset")
    assert found.index.tolist() == ["ucf101", "hmdb51"]
    assert (
        found["train_videos"].tolist() == [5, pd.NA]
        and found.loc["ucf101", "behind"] == "ucf101 hmdb51"
    )


def test_a_split_without_a_usable_clip():
    index = pd.DataFrame(CLIPS, columns=["split", "class", "problem"])
    found = count(index[index["split"] != "val"], "temporal")
    assert found == (
        "temporal",
        {"train": 2, "val": 0, "test": 1},
        {"train": 3, "val": 0, "test": 2},
        2,
    )
