"""Paths and names of others': nothing leaves its root, nothing is run, and whatever cannot be is told in one line."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest
import yaml

from fsar_core.__main__ import main
from fsar_core.components import registry
from fsar_core.config import Card, Files, load_config, read_yaml, relative
from fsar_core.data import splits
from fsar_core.data.cards import load_dataset
from fsar_core.data.files import FileFinder, Missing
from fsar_core.data.lookalikes import lookalikes, skeleton
from fsar_core.data.new_dataset import propose
from fsar_core.errors import FsarError
from fsar_core.study import Study
from tests.builders import toy_card, toy_dataset
from tests.data.test_cards import SIZES

ROOT = Path(__file__).resolve().parents[2]
LEAVING = [
    "../x.mp4",
    "a/../../x.mp4",
    "/etc/passwd",
    "..",
    "a\\..\\x",
    "a\0b",
    "a\nb",
    "a\rb",
    "a\x1b[2Jb",
    "a\x7f",
]


def failure(call) -> str:
    with pytest.raises(FsarError) as error:
        call()
    assert str(error.value).isprintable()
    return str(error.value)


@pytest.fixture
def made(tmp_path):
    return toy_dataset(tmp_path, videos=False)


def load(made):
    return load_dataset(made.cards, made.name, made.data, SIZES, 0)


@pytest.mark.parametrize("path", LEAVING)
def test_no_path_leaves_its_root(path):
    with pytest.raises(ValueError, match="must be a relative path without"):
        relative(path)


@pytest.mark.parametrize("path", ["x" * 256, "é" * 128, "a/" + "b" * 300 + "/c", "a/" * 2500 + "x"])
def test_names_that_no_file_system_takes(path):
    with pytest.raises(ValueError, match="longer than a file system takes"):
        relative(path)
    assert relative("x" * 255) and relative("a/" * 1500 + "x")


@pytest.mark.parametrize("path", [*LEAVING, "x" * 300])
@pytest.mark.parametrize(
    "key",
    ["folder", "split.file", "split.labels", "files.roots", "masks", "split.train", "files.path"],
)
def test_no_path_of_a_card_leaves_its_root(made, key, path):
    card = toy_card()
    if key in ("split.labels", "split.train"):
        card["split"] = {"format": "numbered", "train": "a", "val": "b", "test": "c"}
    first, _, second = key.partition(".")
    value = {"masks": f"{path}/{{video}}", "files.path": f"{path}/{{video}}"}.get(key, path)
    value = [value] if second in ("labels", "roots") else value
    card[first] = (card.get(first) or {}) | {second: value} if second else value
    made.card_file.write_text(yaml.safe_dump(card))
    assert f"{made.card_file}: {first}" in failure(lambda: load(made))


@pytest.mark.parametrize("path", [path for path in LEAVING if not set(path) & set("\n\r")])
def test_no_path_of_a_split_list_leaves_its_root(made, path):
    made.split_file.write_bytes(f"split\tclass\tpath\tgroup\ntrain\ta\t{path}\t\n".encode())
    assert failure(lambda: load(made)).startswith(f"{made.split_file} line 2: ")


@pytest.mark.parametrize("path", ["../../x", "a/../../x", "/etc/passwd"])
@pytest.mark.parametrize("line", ["{path}", "train0//{path}"])
def test_no_path_of_a_published_list_leaves_its_root(tmp_path, capsys, path, line):
    for split in splits.SPLITS:
        text = line.format(path=path).replace("train0", f"{split}0")
        (tmp_path / f"{split}.txt").write_text(
            f"{split}0//ok/{split}.mp4\n{text}\n" if "//" in line else f"ok/{split}\n{text}\n"
        )
    assert main(["import-split", str(tmp_path), "--out", str(tmp_path / "out" / "split.tsv")]) == 2
    assert capsys.readouterr().err.startswith("fsar: error: ") and not (tmp_path / "out").exists()


# -- symbolic links ----------------------------------------------------------------------------------------------------


@pytest.fixture
def linked(tmp_path):
    """A data set's folder with a file, and beside it something that is not its own."""
    folder, secret = tmp_path / "data" / "set", tmp_path / "secret"
    for path in (
        folder / "a" / "own.mp4",
        folder / "f" / "1.jpg",
        secret / "private.mp4",
        secret / "p" / "1.jpg",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder, secret


def missing(finder: FileFinder, path: str) -> str:
    with pytest.raises(Missing) as error:
        finder.find(path)
    return str(error.value)


def test_links_to_elsewhere_are_not_followed(linked):
    folder, secret = linked
    (folder / "a" / "x.mp4").symlink_to(secret / "private.mp4")
    (folder / "a" / "up.mp4").symlink_to("../../../secret/private.mp4")
    (folder / "b").symlink_to(secret)
    (folder / "frames").symlink_to(secret / "p")
    (folder / "f" / "2.jpg").symlink_to(secret / "p" / "1.jpg")
    (folder / "chain.mp4").symlink_to(folder / "a" / "x.mp4")
    finder = FileFinder(folder, Files())
    leads = "a link that leads out of the data set's folder"
    assert finder.find("a/own") == "a/own.mp4"
    assert missing(finder, "a/x") == f"'a/x.mp4' is {leads}"
    assert missing(finder, "a/up.mp4") == f"'a/up.mp4' is {leads}"
    assert missing(finder, "b/private.mp4") == f"folder 'b' is {leads}"
    assert missing(finder, "frames") == f"'frames' is {leads}"
    assert missing(finder, "f") == f"'2.jpg' in the folder 'f' is {leads}"
    assert missing(finder, "chain") == f"'chain.mp4' is {leads}"
    assert missing(FileFinder(folder, Files(roots=["b"])), "private") == f"folder 'b' is {leads}"
    # A card that its user trusts may say so.
    anywhere = FileFinder(folder, Files(links="anywhere"))
    found = ["a/x", "a/up", "b/private", "frames", "f", "chain"]
    assert [anywhere.find(path) for path in found] == [
        "a/x.mp4",
        "a/up.mp4",
        "b/private.mp4",
        "frames",
        "f",
        "chain.mp4",
    ]


def test_links_that_stay_inside_are_followed(linked):
    folder, _ = linked
    (folder / "b").symlink_to(folder / "a")
    (folder / "c.mp4").symlink_to("a/own.mp4")
    finder = FileFinder(folder, Files())
    assert (finder.find("b/own"), finder.find("c")) == ("b/own.mp4", "c.mp4")


def test_the_folder_itself_may_be_a_link(linked, tmp_path):
    """As `fsar init-dataset` makes it."""
    folder, _ = linked
    (tmp_path / "link").symlink_to(folder)
    assert FileFinder(tmp_path / "link", Files()).find("a/own") == "a/own.mp4"


def test_where_links_may_lead_is_no_part_of_the_identity(made):
    before = load(made).digest
    made.card_file.write_text(yaml.safe_dump(toy_card(files={"links": "anywhere"})))
    assert load(made).digest == before
    made.card_file.write_text(yaml.safe_dump(toy_card(files={"match": "youtube_id"})))
    youtube = load(made).digest
    made.card_file.write_text(
        yaml.safe_dump(toy_card(files={"match": "youtube_id", "links": "anywhere"}))
    )
    assert load(made).digest == youtube != before


def test_a_split_list_is_no_link_to_elsewhere(made, tmp_path):
    (tmp_path / "secret").write_text("root:x:0:0\n")
    made.split_file.unlink()
    made.split_file.symlink_to(tmp_path / "secret")
    message = failure(lambda: load(made))
    assert (
        message
        == f"{made.split_file}: a link that leads out of {made.split_file.parent}; put the file itself there"
    )
    made.card_file.write_text(yaml.safe_dump(toy_card(files={"links": "anywhere"})))
    assert "expected the header" in failure(lambda: load(made))


# -- names -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["../evil", "/etc", "a/b", "a\0b", "x" * 300, "a b", "demo_temporal\n", "démo"]
)
def test_names_of_data_sets(name, tmp_path):
    config = read_yaml(ROOT / "config.yaml")
    config["datasets"] = config["datasets"] | {"ssv2_small": name}
    assert "config.yaml: datasets.ssv2_small: no card named" in failure(
        lambda: Study(load_config(config), ROOT / "workflow")
    )


def test_a_folder_of_a_strange_name_is_no_data_set(tmp_path):
    made = toy_dataset(tmp_path, name="x" * 120, videos=False)
    assert "is no name of a data set; choose one of A-Z, a-z, 0-9, _ and -" in failure(
        lambda: load(made)
    )


def test_a_name_that_only_looks_like_another():
    config = read_yaml(ROOT / "config.yaml")
    config["datasets"] = config["datasets"] | {"ssv2_small": "dem\u043e_temporal"}
    assert failure(lambda: Study(load_config(config), ROOT / "workflow")).endswith(
        "did you mean 'demo_temporal'? ('\u043e' is CYRILLIC SMALL LETTER O)"
    )


@pytest.mark.parametrize("paper", ["../../x", "a b", "", "dmgal\n", "x/y"])
def test_the_primary_paper_is_a_name(paper):
    assert "config.yaml: paper: " in failure(
        lambda: load_config(read_yaml(ROOT / "config.yaml") | {"paper": paper})
    )


@pytest.mark.parametrize("name", ["a\0b.pt", "x" * 300, "../../../../etc/hostname/x", "\n"])
def test_weights_that_no_file_can_be(name):
    config = read_yaml(ROOT / "config.yaml")
    config["presets"]["demo"]["backbone"]["weights"] = name
    study = Study(load_config(config), ROOT / "workflow")
    assert "backbone.weights: no file '" in failure(lambda: study.features("demo_temporal"))


@pytest.mark.parametrize("kind", sorted(registry.KINDS))
@pytest.mark.parametrize(
    "name", ["../data/index", "os", "__init__", "_vit", "/etc/passwd", "a.b", "", "x" * 400, "a\0b"]
)
def test_components_are_only_what_is_there(kind, name):
    """A name is looked up among the files of its folder; it is never a path or a module to be imported."""
    assert f"unknown name '{name}'".replace("\0", r"\x00") in failure(
        lambda: registry.build(kind, name)
    )


@pytest.mark.parametrize("column", ["class", "path", "group"])
@pytest.mark.parametrize("sign", ["\n", "\t", "\x1b", "\0", "\x7f"])
def test_control_characters_in_entries(column, sign):
    """Lists of other formats than split.tsv, and label files, can hold them."""
    entries = pd.DataFrame([("train", "a", "a/1.mp4", "g")], columns=list(splits.COLUMNS))
    entries.loc[0, column] = f"x{sign}y"
    message = failure(lambda: splits.check(entries, Card.model_validate(toy_card()), Path("list")))
    assert message.startswith(f"list: the {column} 'x") and message.endswith(
        "holds a control character; rename it"
    )


ALIKE = [
    ("abseiling", "\u0430bseiling"),  # a Cyrillic a
    ("caf\u00e9", "cafe\u0301"),  # composed and decomposed
    ("HAND", "\u0397\u0391\u039dD"),  # Greek capitals
    ("jump", "ju\u200bmp"),  # a blank without width
    ("fish", "\ufb01sh"),  # a ligature
    ("run", "\uff52un"),  # full width
]


@pytest.mark.parametrize(("name", "other"), ALIKE)
def test_classes_that_look_alike_are_refused(made, name, other):
    """Else a class could be in training and in test at once."""
    assert name != other and lookalikes([name, "x", other]) == (name, other)
    text = f"split\tclass\tpath\tgroup\ntrain\t{name}\ta/1.mp4\t\nval\tx\ta/2.mp4\t\ntest\t{other}\ta/3.mp4\t\n"
    made.split_file.write_text(text, encoding="utf-8")
    message = failure(lambda: load(made))
    assert message.isascii() and f"{name!a} and {other!a} look alike" in message


def test_no_honest_name_is_refused():
    names = [
        "Übung",
        "ubung",
        "投げる",
        "投げ",
        "бег",
        "σκι",
        "Run",
        "run",
        "rn",
        "m",
        "0",
        "O",
        "1",
        "l",
        "a b",
        "a_b",
    ]
    assert lookalikes(names) is None and lookalikes(names + names) is None
    assert skeleton("Putting [something] (on)!") == "Putting [something] (on)!"


def test_every_shipped_class_is_its_own():
    for card in (ROOT / "workflow" / "datasets").glob("*/card.yaml"):
        assert lookalikes(read_yaml(card).get("classes") or []) is None


def test_a_listed_name_of_another_unicode_form_is_found(tmp_path):
    """A file system may store the decomposed form of what a list writes composed."""
    (tmp_path / "cafe\u0301.mp4").touch()
    assert FileFinder(tmp_path, Files()).find("caf\u00e9.mp4") == "cafe\u0301.mp4"


def test_file_names_that_are_no_text(tmp_path, capsys):
    for name in (b"one", b"two", b"\xff\xfe"):
        folder = os.path.join(os.fsencode(tmp_path / "videos"), name)
        os.makedirs(folder)
        open(os.path.join(folder, b"1.mp4"), "w").close()
    entries = propose(tmp_path / "videos").entries
    message = failure(lambda: splits.write(tmp_path / "split.tsv", entries))
    assert "holds bytes that are no UTF-8 text; rename the file" in message and r"\udcff" in message
    assert not (tmp_path / "split.tsv").exists()


ESCAPES = "\x1b[2J\x1b]0;pwned\x07"


def test_names_that_a_terminal_would_obey(tmp_path, monkeypatch, capfd):
    """In all that verbs print: reports, tables, errors and what argparse says itself."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text((ROOT / "config.yaml").read_text())
    for name in ("a", "b", "c"):
        (tmp_path / "videos" / name).mkdir(parents=True)
        (tmp_path / "videos" / name / "1.mp4").write_text(name)
    (tmp_path / "videos" / "a" / f"notes{ESCAPES}.txt").touch()
    assert main(["init-dataset", "videos", "--name", "mine"]) == 0
    card = tmp_path / "workflow" / "datasets" / "mine" / "card.yaml"
    card.write_text(yaml.safe_dump(yaml.safe_load(card.read_text()) | {"title": f"Mine{ESCAPES}"}))
    assert main(["list"]) == 0
    with pytest.raises(SystemExit):
        main(["list", f"--{ESCAPES}"])
    assert main(["init-dataset", f"videos{ESCAPES}", "--name", "other"]) == 2
    out, err = capfd.readouterr()
    written = r"\x1b[2J\x1b]0;pwned\x07"
    assert f"'a/notes{written}.txt'" in out and f"Mine{written}" in out
    assert (
        f"unrecognized arguments: --{written}" in err and f"videos{written}: no such folder" in err
    )
    assert not {"\x1b", "\x07"} & set(out + err)


NASTY = "a; touch PWNED; $(touch PWNED) `touch PWNED` & 'x' \"y\" | {z} *.mp4"


def test_names_that_a_shell_would_obey(tmp_path, monkeypatch):
    """Through the verbs, and quoted as the rules quote them (tests/faults has the whole workflow)."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / NASTY).touch()
    assert FileFinder(tmp_path, Files()).find(NASTY) == NASTY
    assert not (tmp_path / "PWNED").exists()
