"""Every key known, every mistake one line that names the file, the key and the nearest valid one."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import yaml

from fsar_core.config import (
    Card,
    Config,
    load,
    load_config,
    read_yaml,
    relative,
    validate,
)
from fsar_core.errors import FsarError
from fsar_core.papers.models import printed_number
from fsar_core.papers.registry import load_table, validate_figure, validate_table
from fsar_core.tables.accuracy import AccuracyTable

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = read_yaml(ROOT / "config.yaml")

CARD = {
    "title": "t",
    "source": "s",
    "citation": "c",
    "licence": "l",
    "modality": "temporal",
    "folder": "clips",
    "split": {"format": "split_tsv", "file": "split.tsv"},
    "flip": False,
    "max_failures": 0.1,
}
TABLE = {
    "title": "t",
    "where": "w",
    "backbone": "b",
    "datasets": ["ssv2_small", "ucf101"],
    "shots": [1, 5],
    "rows": [
        {"method": "OTAM", "published": {"ucf101": {1: 49.2, 5: "50.1*"}}},
        {
            "method": "New",
            "head": {"name": "dmgal"},
            "matching": {"name": "otam"},
            "compare_to": "OTAM",
        },
    ],
}


def edited(raw, path, value):
    """A copy of `raw` with `value` at a path of keys; the key is taken out where the value is `...`."""
    raw = copy.deepcopy(raw)
    *parents, last = path
    place = raw
    for key in parents:
        place = place[key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return raw


def mistake(model, raw) -> str:
    with pytest.raises(FsarError) as error:
        validate(model, raw, "x.yaml")
    text = str(error.value)
    assert text.startswith("x.yaml: ")
    return text.removeprefix("x.yaml: ")


@pytest.mark.parametrize("preset", ["demo", "paper"])
def test_the_shipped_configuration_is_valid(preset):
    config = load_config(SHIPPED | {"preset": preset})
    assert config.preset == preset
    assert set(config.presets) == {"demo", "paper", "paper_finetuned"}
    assert config.active is config.presets[preset]
    assert config.active.backbone.cut == "layer4"


def test_from_a_file_and_from_a_dictionary():
    assert load_config(ROOT / "config.yaml") == load_config(SHIPPED)
    assert load_config(SHIPPED).roots.stores == Path("stores")


def test_the_papers_protocol():
    paper = load_config(SHIPPED).presets["paper"]
    assert (paper.episodes.way, paper.episodes.test, paper.episodes.query) == (5, 10000, 1)
    assert (paper.frames.count, paper.backbone.crop, paper.backbone.name) == (8, 224, "resnet50")
    assert paper.training.batch * paper.training.accumulate == 16


@pytest.mark.parametrize(
    ("path", "key", "hint"),
    [
        ((), "presett", "'preset'"),
        (("roots",), "store", "'stores'"),
        (("presets", "demo"), "episode", "'episodes'"),
        (("presets", "demo", "training"), "learning_rate", None),
        (("presets", "demo", "training"), "wamup", "'warmup'"),
        (("presets", "paper", "backbone"), "croop", "'crop'"),
        (("presets", "demo", "backbone", "training"), "epoch", "'epochs'"),
        (("presets", "demo", "demo_videos"), "heigth", "'height'"),
        (("presets", "paper", "resources"), "evaluationbatch", "'evaluation_batch'"),
    ],
)
def test_a_mistyped_key_at_each_depth(path, key, hint):
    said = mistake(Config, edited(SHIPPED, (*path, key), 1))
    assert said.startswith(f"unknown key '{'.'.join([*path, key])}'; ")
    assert (
        said.endswith(f"did you mean {hint}?")
        if hint
        else "lr" in said.split("valid: ")[1].split(", ")
    )


def test_a_mistyped_key_is_told_before_the_one_that_it_leaves_missing():
    raw = edited(
        edited(SHIPPED, ("presets", "demo", "frames", "size"), ...),
        ("presets", "demo", "frames", "sizze"),
        72,
    )
    assert mistake(Config, raw) == "unknown key 'presets.demo.frames.sizze'; did you mean 'size'?"


def test_a_preset_may_be_called_like_a_key():
    raw = edited(
        SHIPPED, ("presets", "frames"), copy.deepcopy(SHIPPED["presets"]["demo"]) | {"trainin": 1}
    )
    assert mistake(Config, raw) == "unknown key 'presets.frames.trainin'; did you mean 'training'?"


@pytest.mark.parametrize(
    ("model", "raw", "path", "line"),
    [
        (
            AccuracyTable,
            TABLE,
            ("rows", 1, "heda"),
            "unknown key 'rows.1.heda'; did you mean 'head'?",
        ),
        (
            AccuracyTable,
            TABLE,
            ("rows", 1, "head", "parms"),
            "unknown key 'rows.1.head.parms'; did you mean 'params'?",
        ),
        (AccuracyTable, TABLE, ("row",), "unknown key 'row'; did you mean 'rows'?"),
        (Card, CARD, ("license",), "unknown key 'license'; did you mean 'licence'?"),
        (Card, CARD, ("split", "fil"), "unknown key 'split.fil'; did you mean 'file'?"),
    ],
)
def test_a_mistyped_key_of_a_card_or_table(model, raw, path, line):
    assert mistake(model, edited(raw, path, {})) == line


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        (("seed",), ..., "missing key 'seed'"),
        (("presets", "demo", "training", "lr"), ..., "missing key 'presets.demo.training.lr'"),
        (
            ("seed",),
            "zero",
            "seed: input should be a valid integer, unable to parse string as an integer (found 'zero')",
        ),
        (
            ("seed",),
            0.5,
            "seed: input should be a valid integer, got a number with a fractional part (found 0.5)",
        ),
        (
            ("presets", "demo", "training", "lr"),
            "fast",
            "presets.demo.training.lr: input should be a valid number, ",
        ),
        (
            ("presets", "demo", "training", "lr"),
            -1,
            "presets.demo.training.lr: input should be greater than 0 (found -1)",
        ),
        (
            ("presets", "demo", "training", "lr"),
            float("inf"),
            "presets.demo.training.lr: input should be a finite number",
        ),
        (
            ("presets", "demo", "training", "batch"),
            0,
            "presets.demo.training.batch: input should be greater than or ",
        ),
        (
            ("presets", "demo", "training", "optimizer"),
            "lion",
            "presets.demo.training.optimizer: input should be 'adam', ",
        ),
        (
            ("presets", "demo", "training"),
            None,
            "presets.demo.training: input should be a valid dictionary",
        ),
        (
            ("presets", "demo", "frames", "policy"),
            "middle",
            "presets.demo.frames.policy: input should be 'segment_cent",
        ),
        (
            ("presets", "demo", "frames", "size"),
            8,
            "presets.demo.frames.size: input should be greater than or equal to 16",
        ),
        (
            ("presets", "demo", "backbone", "dtype"),
            "float64",
            "presets.demo.backbone.dtype: input should be 'float16' ",
        ),
        (
            ("presets", "demo", "episodes", "way"),
            1,
            "presets.demo.episodes.way: input should be greater than or equal to 2",
        ),
        (
            ("presets", "demo", "resources", "device"),
            "gpu",
            "presets.demo.resources.device: input should be 'auto', 'cpu",
        ),
        (
            ("presets", "demo", "saliency"),
            {"kernel": 2},
            "presets.demo.saliency: kernel 2 must be odd, so that a frame",
        ),
        (
            ("presets", "demo", "saliency"),
            {"loss": "binary"},
            "presets.demo.saliency: loss 'binary' needs scores below 0; set `rectified: false`, or `loss: cross_entropy`",
        ),
        (
            ("presets", "demo", "saliency"),
            {"loss": "softmax"},
            "presets.demo.saliency.loss: input should be 'cross_entropy' ",
        ),
        (
            ("presets", "demo", "saliency"),
            {"epochs": 0},
            "presets.demo.saliency.epochs: input should be greater than or e",
        ),
        (
            ("presets", "demo", "saliency"),
            {"dropout": 1},
            "presets.demo.saliency.dropout: input should be less than 1",
        ),
        (
            ("presets", "demo", "saliency"),
            {"epoch": 3},
            "unknown key 'presets.demo.saliency.epoch'; did you mean 'epochs'?",
        ),
        (
            ("presets", "demo", "heads"),
            {"dmgal": 4},
            "presets.demo.heads.dmgal: input should be a valid dictionary",
        ),
        (
            ("presets", "demo", "demo_videos", "clips"),
            {"train": 1, "val": 1},
            "presets.demo.demo_videos.clips: expected a",
        ),
        (
            ("presets", "demo", "demo_videos", "clips"),
            {"train": 1, "val": 0, "test": 1},
            "presets.demo.demo_videos.clips.val: input should be greater than or equal to 1 (found 0)",
        ),
        (
            ("presets", "demo", "resources", "memory_gib"),
            float("inf"),
            "presets.demo.resources.memory_gib: input should be a f",
        ),
        (("datasets",), [], "datasets: input should be a valid dictionary"),
        (
            ("roots", "stores"),
            "a{b}",
            "roots.stores: holds braces (which snakemake takes for wildcards) or control characters",
        ),
        (
            ("roots", "results"),
            "a\nb",
            "roots.results: holds braces (which snakemake takes for wildcards) or control characters",
        ),
        (("preset",), "papr", "preset 'papr' is not among presets; did you mean 'paper'?"),
    ],
)
def test_wrong_values(path, value, line):
    assert mistake(Config, edited(SHIPPED, path, value)).startswith(line)


def numbers_in(raw, path=()):
    """Paths of keys to every number of plain data."""
    if isinstance(raw, dict | list):
        for key, value in raw.items() if isinstance(raw, dict) else enumerate(raw):
            yield from numbers_in(value, (*path, key))
    elif isinstance(raw, int | float) and not isinstance(raw, bool):
        yield path


ABSURD = (10**30, -(10**30), 1e30, -1e30)
# Parameters of components are checked by their signatures, and the seed may be any whole number of usual size.
PARAMETERS = {"heads", "matching", "backbones", "params", "head"}


@pytest.mark.parametrize("value", ABSURD)
@pytest.mark.parametrize("preset", ["demo", "paper"])
def test_every_number_of_the_configuration_has_bounds(preset, value):
    paths = [path for path in numbers_in(SHIPPED["presets"][preset]) if not PARAMETERS & set(path)]
    assert len(paths) > 25
    for path in [("seed",), *(("presets", preset, *path) for path in paths)]:
        assert mistake(Config, edited(SHIPPED, path, value)), path


@pytest.mark.parametrize("value", ABSURD)
@pytest.mark.parametrize("kind", ["tables", "figures", "datasets"])
def test_every_number_of_the_shipped_tables_figures_and_cards_has_bounds(kind, value):
    files = sorted((ROOT / "workflow" / kind).glob("**/*.yaml"))
    checks = {
        "tables": validate_table,
        "figures": validate_figure,
        "datasets": lambda raw, where: validate(Card, raw, where),
    }
    count = 0
    for file in files:
        raw = read_yaml(file)
        for path in numbers_in(raw):
            if not PARAMETERS & set(path):
                count += 1
                with pytest.raises(FsarError):
                    checks[kind](edited(raw, path, value), file.name)
    assert count > 15


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        (("backbone", "crop"), 10**9, "backbone.crop: input should be less than or equal to 4096"),
        (("episodes", "way"), 10**6, "episodes.way: input should be less than or equal to 1000"),
        (("episodes", "train_shot"), 0, "episodes.train_shot: input should be greater than or equal to 1"),
        (("episodes", "train_shot"), -1, "episodes.train_shot: input should be greater than or equal to 1"),
        (("episodes", "test"), 29, "episodes.test: expected at least 30 test episodes; with fewer, the 95 % intervals "),
        (("episodes", "test"), 2, "episodes.test: expected at least 30 test episodes"),
        (("episodes", "test"), -1, "episodes.test: expected at least 30 test episodes"),
        (("demo_videos", "height"), 97, "demo_videos.height: input should be a multiple of 2"),
        (("training", "milestones"), [0.5, 1.5], "training.milestones.1: input should be less than or equal to 1"),
        (("head_training", "i2st", "lr"), 0, "head_training.i2st.lr: input should be greater than 0 (found 0)"),
    ],
)  # fmt: skip
def test_numbers_out_of_range(path, value, line):
    said = mistake(Config, edited(SHIPPED, ("presets", "demo", *path), value))
    assert said.removeprefix("presets.demo.").startswith(line), said


@pytest.mark.parametrize("shots", [[0], [-1], [1, 0], [1, -1], [1, 1], [], [10**6]], ids=str)
def test_shots_of_a_table_and_of_a_figure(shots):
    assert mistake(
        AccuracyTable, edited(edited(TABLE, ("rows", 0, "published"), {}), ("shots",), shots)
    )
    figure = read_yaml(ROOT / "workflow" / "figures" / "dmgal_fig6.yaml")
    with pytest.raises(FsarError, match="shots"):
        validate_figure(edited(figure, ("panels", 0, "shots"), shots), "x.yaml")


@pytest.mark.parametrize(
    "changes", [{"ways": [5, 1]}, {"ways": [5, 5]}, {"seconds": [0]}, {"seconds": [3, 3]}], ids=str
)
def test_ways_and_seconds_of_a_table(changes):
    raw = edited(edited(TABLE, ("rows", 0, "published"), {}), ("shots",), [1])
    assert validate_table(raw | {"ways": [5, 6]}, "x.yaml")
    assert mistake(AccuracyTable, raw | changes)


@pytest.mark.parametrize("number", [-0.1, 100.1, "101*", "-3"])
def test_a_printed_accuracy_is_in_percent(number):
    line = mistake(AccuracyTable, edited(TABLE, ("rows", 0, "published", "ucf101", 1), number))
    assert f"{number} is no accuracy in percent; expected 0 to 100" in line


@pytest.mark.parametrize("weights", ["a{b}.pt", "x/{}.pt", "https://example.org/%7Bx%7D.pt"])
def test_weights_of_masks_have_no_braces(weights):
    """They are an input of rules, and Snakemake fills in what stands in braces."""
    masks = {"provider": "seem", "weights": weights, "sha256": "0" * 64}
    line = mistake(Config, edited(SHIPPED, ("presets", "demo", "masks"), masks))
    assert (
        line.startswith("presets.demo.masks.weights: '")
        and "holds braces, which Snakemake takes for wildcards" in line
    )


@pytest.mark.parametrize(
    ("changes", "valid"),
    [
        ({"folder": "UCF{101}"}, True),
        ({"folder": "UCF{101}", "generator": "demo_spatial"}, False),
        ({"folder": "UCF{101}", "intervals": "i.tsv"}, False),
        ({"intervals": "{i}.tsv"}, False),
    ],
)
def test_paths_of_a_card_that_rules_read_have_no_braces(changes, valid):
    if valid:
        assert validate(Card, CARD | changes, "x.yaml")
    else:
        assert "holds braces, which Snakemake takes for wildcards" in mistake(Card, CARD | changes)


def test_fewest_test_episodes():
    assert (
        load_config(
            edited(SHIPPED, ("presets", "demo", "episodes", "test"), 30)
        ).active.episodes.test
        == 30
    )


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"lr": -1}, "training: molo.as_written.lr: input should be greater than 0 (found -1)"),
        ({"rate": 1}, "training: molo.as_written has the unknown key 'rate'; valid: "),
        (
            {"episodes": 10**12},
            "training: molo.as_written.episodes: input should be less than or equal to 1000000000",
        ),
    ],
)
def test_published_trainings_of_a_card(changes, line):
    assert validate(
        Card,
        CARD | {"training": {"molo": {"as_written": {"lr": 0.1, "clip_norm": None}}}},
        "x.yaml",
    )
    assert mistake(Card, CARD | {"training": {"molo": {"as_written": changes}}}).startswith(line)


def test_numbers_that_yaml_takes_for_text():
    """YAML 1.1 reads 1e-3 as text."""
    assert yaml.safe_load("lr: 1e-3") == {"lr": "1e-3"}
    config = load_config(edited(SHIPPED, ("presets", "demo", "training", "lr"), "1e-3"))
    assert config.active.training.lr == 0.001
    same = load_config(edited(SHIPPED, ("presets", "demo", "training", "lr"), 0.001))
    assert config.active.training.digest == same.active.training.digest


def test_the_message_of_load_config_names_the_file(tmp_path):
    with pytest.raises(
        FsarError, match=r"^config\.yaml: unknown key 'sed'; did you mean 'seed'\?$"
    ):
        load_config(SHIPPED | {"sed": 1})
    path = tmp_path / "mine.yaml"
    path.write_text("seed: 1\n", encoding="utf-8")
    with pytest.raises(FsarError, match=r"mine\.yaml: missing key 'preset'$"):
        load_config(path)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (
            b"a: !!python/object/apply:os.system [true]\n",
            " line 1: not readable as YAML: could not determine a construct",
        ),
        (
            b"a: 1\nb: !!python/name:os.system\n",
            " line 2: not readable as YAML: could not determine a constructor",
        ),
        (b"a: [1\n", " line 2: not readable as YAML: expected ',' or ']'"),
        (b"a: 1\n\tb: 2\n", " line 2: not readable as YAML: "),
        (b"a: \xff\n", ": not readable as YAML: "),
        (b"a: \x00\n", ": not readable as YAML: "),
        (b"a: 2020-13-45\n", ": not readable as YAML: month must be in 1..12"),
        (b"a: !!int x\n", ": not readable as YAML: invalid literal for int()"),
    ],
)
def test_unreadable_yaml(tmp_path, content, line):
    path = tmp_path / "x.yaml"
    path.write_bytes(content)
    with pytest.raises(FsarError) as error:
        read_yaml(path)
    assert str(error.value).startswith(f"{path}{line}")


def test_a_missing_file(tmp_path):
    with pytest.raises(FsarError, match=r"x\.yaml: no such file$"):
        read_yaml(tmp_path / "x.yaml")


@pytest.mark.parametrize("content", ["", "- a\n", "5\n"])
def test_a_file_that_is_no_mapping(tmp_path, content):
    (tmp_path / "x.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(FsarError, match=r"x\.yaml: input should be a valid dictionary"):
        load(AccuracyTable, tmp_path / "x.yaml")


def test_values_are_frozen():
    config = load_config(SHIPPED)
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 3


# -- tables --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", sorted((ROOT / "workflow" / "tables").glob("*.yaml")), ids=lambda path: path.stem
)
def test_shipped_tables_are_valid(path):
    table = load_table(path)
    assert table.rows
    assert table.kind == "datasets" or table.components()


@pytest.mark.parametrize(
    "path",
    sorted((ROOT / "workflow" / "datasets").glob("*/card.yaml")),
    ids=lambda p: p.parent.name,
)
def test_shipped_cards_are_valid(path):
    card = load(Card, path)
    assert card.title and card.citation and card.licence


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        (
            ("rows", 1, "compare_to"),
            "OTM",
            "row 'New' compares to an unknown 'OTM'; did you mean 'OTAM'?",
        ),
        (("rows", 1, "method"), "OTAM", "two rows are called 'OTAM'"),
        (
            ("rows", 0, "published"),
            {"ucf_101": {1: 3}},
            "row 'OTAM' prints a number for 'ucf_101'; did you mean 'ucf101'?",
        ),
        (
            ("rows", 0, "published"),
            {"ucf101": {1: "a lot"}},
            "rows.0.published: 'a lot' is no printed number; expected",
        ),
        (("rows", 0, "published"), {"ucf101": {"one": 3}}, "rows.0.published.ucf101.one"),
        (("rows", 1, "matching"), ..., "rows.1: row 'New': head and matching go together"),
        (("rows", 1, "head"), ..., "rows.1: row 'New': head and matching go together"),
        (("rows", 1, "head"), {"params": {}}, "missing key 'rows.1.head.name'"),
        (("rows", 1, "method"), ..., "missing key 'rows.1.method'"),
        (("shots",), ["five"], "shots.0: input should be a valid integer"),
    ],
)
def test_table_mistakes(path, value, line):
    assert mistake(AccuracyTable, edited(TABLE, path, value)).startswith(line)


DATASETS_TABLE = {
    "kind": "datasets",
    "title": "t",
    "where": "w",
    "rows": [
        {
            "dataset": name,
            "name": name,
            "reference": "CMN",
            "modality": "Spatial",
            "classes": {"train": 3, "val": 2, "test": 1},
            "videos": {"train": 30, "val": 20, "test": 10},
        }
        for name in ("ucf101", "hmdb51")
    ],
}
PARAMETERS_TABLE = {
    "kind": "parameters",
    "title": "t",
    "where": "w",
    "dim": 2048,
    "frames": 8,
    "rows": [{"method": "r_2: 2", "published": "22.06M", "head": {"name": "dmgal"}}],
}


@pytest.mark.parametrize(
    ("table", "path", "value", "line"),
    [
        (
            DATASETS_TABLE,
            ("kind",),
            "dataset",
            "x.yaml: unknown kind of table 'dataset'; did you mean 'datasets'?",
        ),
        (DATASETS_TABLE, ("kind",), ["datasets"], "x.yaml: unknown kind of table '['datasets']'"),
        (DATASETS_TABLE, ("kind",), ..., "x.yaml: unknown key"),
        (
            DATASETS_TABLE,
            ("rows", 0, "clases"),
            {},
            "x.yaml: unknown key 'rows.0.clases'; did you mean 'classes'?",
        ),
        (
            DATASETS_TABLE,
            ("rows", 1, "dataset"),
            "ucf101",
            "x.yaml: two rows are of the data set 'ucf101'",
        ),
        (
            DATASETS_TABLE,
            ("rows", 0, "videos", "val"),
            ...,
            "x.yaml: rows.0.videos: expected a number for each of train, val, test",
        ),
        (DATASETS_TABLE, ("shots",), [1], "x.yaml: unknown key 'shots'"),
        (
            PARAMETERS_TABLE,
            ("rows", 0, "published"),
            "22.06",
            "x.yaml: rows.0.published: '22.06' is no printed number of",
        ),
        (PARAMETERS_TABLE, ("rows", 0, "head"), ..., "x.yaml: missing key 'rows.0.head'"),
        (
            PARAMETERS_TABLE,
            ("rows", 0, "metric"),
            "trx",
            "x.yaml: unknown key 'rows.0.metric'; did you mean 'method'?",
        ),
        (
            PARAMETERS_TABLE,
            ("rows",),
            PARAMETERS_TABLE["rows"] * 2,
            "x.yaml: two rows are called 'r_2: 2'",
        ),
        (PARAMETERS_TABLE, ("dimm",), 3, "x.yaml: unknown key 'dimm'; did you mean 'dim'?"),
        (TABLE, ("cost",), {"dims": 3}, "x.yaml: unknown key 'cost.dims'; did you mean 'dim'?"),
    ],
)
def test_mistakes_in_tables_of_every_kind(table, path, value, line):
    with pytest.raises(FsarError) as error:
        validate_table(edited(table, path, value), "x.yaml")
    assert str(error.value).startswith(line)


def test_a_method_may_be_printed_with_two_backbones():
    rows = [{"method": "SA-CT", "backbone": name} for name in ("ResNet-50", "ViT-B")]
    assert len(validate(AccuracyTable, TABLE | {"rows": rows}, "x").rows) == 2
    run = {"head": {"name": "identity"}, "matching": {"name": "otam"}}
    compared = {"method": "New", "compare_to": "SA-CT"}
    for wrong in ([rows[0], rows[0]], [rows[0], rows[1] | run], [*rows, compared]):
        assert mistake(AccuracyTable, TABLE | {"rows": wrong}) == "two rows are called 'SA-CT'"


def test_a_table_survives_json():
    """The table rule passes it as `--spec`; JSON turns the shots into text."""
    table = validate(AccuracyTable, TABLE, "x")
    text = json.dumps(table.model_dump(mode="json"))
    again = validate(AccuracyTable, json.loads(text), "x")
    assert again == table
    assert again.rows[0].published == {"ucf101": {1: 49.2, 5: "50.1*"}}
    assert [type(shot) for shot in again.rows[0].published["ucf101"]] == [int, int]
    assert again.shots == [1, 5]


@pytest.mark.parametrize(
    ("value", "number"),
    [(49.2, 49.2), (49, 49.0), ("49.2*", 49.2), ("49.2", 49.2), ("36*", 36.0), (None, None)],
)
def test_printed_numbers(value, number):
    assert printed_number(value) == number


@pytest.mark.parametrize("value", ["", "*", "49,2", "*49.2", "49.2†", "-"])
def test_what_is_no_printed_number(value):
    with pytest.raises(
        ValueError, match=r"is no printed number; expected 49\.2, '49\.2\*' or null"
    ):
        printed_number(value)


# -- cards and paths -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["clips", "a/b.mp4", "a b/ü.mp4", "..a/b..", "a/.../b", "-rf", "a:b"]
)
def test_paths_below_their_root(path):
    assert relative(path) == path


@pytest.mark.parametrize(
    "path", ["..", "../a", "a/../b", "a/..", "/a", "//a", "a\\b", "..\\a", "a\0b", "", "."]
)
def test_paths_that_could_leave_their_root(path):
    with pytest.raises(ValueError, match="must be a relative path"):
        relative(path)


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        (("folder",), "/data", "folder: '/data' must be a relative path without '..'"),
        (("folder",), "../data", "folder: '../data' must be a relative path without '..'"),
        (
            ("split", "file"),
            "../../split.tsv",
            "split.file: '../../split.tsv' must be a relative path without '..'",
        ),
        (("split", "format"), "csv", "split.format: input should be 'split_tsv'"),
        (("modality",), "spatio", "modality: input should be 'temporal' or 'spatial'"),
        (("max_failures",), 1.5, "max_failures: input should be less than or equal to 1"),
        (("max_failures",), -0.5, "max_failures: input should be greater than or equal to 0"),
        (("flip",), "maybe", "flip: input should be a valid boolean"),
        (("expected",), {"train": 3}, "expected.train: "),
        (("expected",), {"dev": [3, None]}, "expected.dev"),
        (("citation",), ..., "missing key 'citation'"),
    ],
)
def test_card_mistakes(path, value, line):
    assert mistake(Card, edited(CARD, path, value)).startswith(line)


def test_what_a_card_leaves_out():
    card = validate(Card, CARD | {"expected": {"test": [24, None]}}, "x")
    assert (card.generator, card.classes, card.groups) == (None, None, False)
    assert card.expected == {"test": (24, None)}
