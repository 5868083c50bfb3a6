"""`fsar clean`: what is used stays, what is not ours stays, and nothing goes without a yes."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from fsar_core.__main__ import main
from fsar_core.maintenance import clean
from fsar_core.study import Study

OLD = "0123456789ab"
RUN = f"demo_temporal.demo_cnn.dmgal.otam.1shot.{OLD[:8]}"


@pytest.fixture
def used(project) -> dict[str, int]:
    """Something of every kind that the configuration uses, and the user's own things beside it."""
    study = project.study
    run = next(run for run in study.experiments.runs.values() if run.masks is not None)
    look = study.experiments.looks("dmgal_fig9")[0]
    saliency = study.experiments.watches("sgtm_actionness")[0].saliency
    for spec in (run.features, run.features.frames, run.masks, saliency):
        project.store(spec.kind, spec.key)
    project.put(f"results/actionness/sgtm_actionness/{saliency.key}.npz")
    project.put(study.paths.index("demo_temporal"))
    for spec in (run.validation, run.test, look.episodes):
        project.put(study.paths.episodes(spec))
    project.put(study.paths.model(run.model) / "checkpoint.pt")
    project.put(study.paths.run(run) / "summary.json")
    project.put(f"results/inspections/dmgal_fig9/{look.run.run_id}.npz")
    for name in (
        "tables/dmgal_table2.csv",
        "tables/table2.md",
        "figures/dmgal_fig9.png",
        "complexity/dmgal_table7.json",
    ):
        project.put(f"results/{name}")
    for paper, kind in (("dmgal", "data"), ("i2st", "times")):
        project.put(f"results/report/{paper}/{kind}.html")
        project.put(f"results/logs/page/{paper}.{kind}.log")
    for log in (
        "table/dmgal_table2",
        "primary_table/2",
        "figure/dmgal_fig9",
        "complexity/dmgal_table7",
    ):
        project.put(f"results/logs/{log}.log")
    for own in (
        "notes.txt",
        "stores/notes.txt",
        "results/tables/mine.csv",
        "results/thoughts/a.md",
        "results/report.html",
        "results/report/dmgal/mine.html",
        "weights/old.pt",
        "data/x.mp4",
    ):
        project.put(own)
    return project.files()


def put_unused(project) -> list[str]:
    """Something of every kind that it does not use: the paths that are listed."""
    project.store("frames", f"demo_temporal.8x99.{OLD}")
    project.store("features", f"gone.resnet50.layer4.{OLD}")
    project.put(f"stores/features/gone.resnet50.layer4.{OLD}/locks/0.lock")
    for left in (
        ".0.abcdefgh",
        "0.a1b2.partial",
    ):  # of killed jobs, of this release and of those before
        project.put(
            f"stores/features/gone.resnet50.layer4.{OLD}/data.zarr/features/c/0/0/0/0/0/{left}"
        )
    project.store("saliency", f"gone.classifier.{OLD}")  # of whatever kind
    project.put(f"results/models/{RUN}/checkpoint.pt")
    project.put(f"results/models/{RUN}/history.csv")
    project.put(f"results/models/{RUN}/train.lock")
    project.put(f"results/models/{RUN}/.last.pt.a1b2c3_4")
    project.put(f"results/runs/{RUN}/summary.json")
    project.put(f"results/runs/{RUN}/queries.csv.gz")
    project.put("results/logs/table/gone_table1.log")
    project.put("results/logs/figure/gone_fig1.log")
    files = [
        f"stores/index/gone.{OLD}.tsv",
        f"results/episodes/gone.test.5way1shot.{OLD}.npz",
        f"results/inspections/dmgal_fig9/{RUN}.npz",
        f"results/actionness/sgtm_actionness/gone.demo_cnn.{OLD}.npz",
        "results/tables/gone_table1.csv",
        "results/tables/gone_table1.left_out.csv",
        "results/figures/gone_fig1.pdf",
        "results/tables/.dmgal_table2.csv.abcdefgh",
        "results/report/gone/data.html",
        "results/report/dmgal/gone.html",
        "results/report/dmgal/.data.html.abcdefgh",
        "results/logs/page/gone.data.log",
        "results/logs/page/dmgal.gone.log",
    ]
    for path in files:
        project.put(path)
    folders = [f"stores/frames/demo_temporal.8x99.{OLD}", f"stores/features/gone.resnet50.layer4.{OLD}",
               f"stores/saliency/gone.classifier.{OLD}", f"results/models/{RUN}", f"results/runs/{RUN}"]  # fmt: skip
    return sorted([*folders, *files])


def listed(out: str, word: str = "unused") -> list[str]:
    return sorted(
        line.split()[3].rstrip(":") for line in out.splitlines() if line.startswith(f"{word} ")
    )


def test_nothing_to_do(project, used, capsys):
    assert main(["clean", "--yes"]) == 0
    assert (
        capsys.readouterr().out.splitlines()[-1]
        == "0 unused, 0.00 MiB in 0 files; kept is what demo uses"
    )
    assert project.files() == used


def test_what_is_not_used_is_shown_and_then_removed(project, used, capsys):
    wanted = put_unused(project)
    before = project.files()
    assert main(["clean"]) == 0
    out = capsys.readouterr().out
    assert listed(out) == wanted
    gone = {
        path for path in before if any(path == of or path.startswith(f"{of}/") for of in wanted)
    }
    size = sum((project.path / path).stat().st_size for path in gone)
    assert size > 6000
    assert f"{len(wanted)} unused, {size / 2**20:.2f} MiB in {len(gone)} files" in out
    assert out.endswith("nothing removed; `--yes` removes it\n") and project.files() == before
    assert main(["clean", "--yes"]) == 0
    assert capsys.readouterr().out.endswith("removed\n")
    assert project.files() == {path: time for path, time in before.items() if path not in gone}
    assert set(used) <= set(project.files())
    assert not any((project.path / of).exists() for of in wanted)


@pytest.mark.parametrize(
    ("answer", "gone"), [("y", True), ("YES", True), ("", False), ("n", False)]
)
def test_on_a_terminal_it_asks(project, used, monkeypatch, answer, gone):
    wanted = put_unused(project)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: answer)
    assert main(["clean"]) == 0
    assert [(project.path / path).exists() for path in wanted] == [not gone] * len(wanted)


STRANGE = {
    "a file of another's": (lambda p, s: p.put(s / "notes.txt"), "holds 'notes.txt', which fsar did not make"),
    "a file of another's deep inside": (
        lambda p, s: p.put(s / "data.zarr/frames/c/0/readme"),
        "holds 'data.zarr/frames/c/0/readme', which fsar did not make",
    ),
    "a link": (lambda p, s: (s / "receipts/9.json").symlink_to(p.path / "notes.txt"), "holds a link, 'receipts/9.json'"),
    "a linked folder": (lambda p, s: (s / "data.zarr/more").symlink_to(p.path / "data"), "holds a link, 'data.zarr/more'"),
    "another data set's plan": (
        lambda p, s: p.put(s / "plan.json", '{"spec": {"frames": {"dataset": "other"}}}'),
        "its plan is of 'other'",
    ),
    "a name of another's": (lambda p, s: s.rename(s.with_name("backup")), "not a name that fsar gives"),
    "itself a link": (lambda p, s: (s.rename(p.path / "elsewhere"), s.symlink_to(p.path / "elsewhere")), "a link"),
    "fresh": (lambda p, s: p.put(s / "receipts/0.json", age=60), "changed less than 1 hours ago; perhaps it is being made"),
}  # fmt: skip


@pytest.mark.parametrize("kind", STRANGE)
def test_what_it_does_not_know_is_left_alone(project, used, capsys, kind):
    store = project.store("frames", f"demo_temporal.8x99.{OLD}")
    change, reason = STRANGE[kind]
    change(project, store)
    before = project.files()
    assert main(["clean", "--yes"]) == 0
    out = capsys.readouterr().out
    assert re.search(rf"^left alone .*: {re.escape(reason)}$", out, re.MULTILINE), out
    assert listed(out) == [] and project.files() == before


def test_a_folder_that_is_a_link_is_never_entered(project, used, capsys):
    """Neither a kind of store nor the folder of all runs: they may lead anywhere."""
    elsewhere = project.store("frames", f"demo_temporal.8x99.{OLD}")
    (project.path / "outside").mkdir()
    elsewhere.parent.rename(project.path / "outside" / "frames")
    (project.path / "stores" / "frames").symlink_to(project.path / "outside" / "frames")
    project.put(f"outside/runs/{RUN}/summary.json")
    os.rename(project.path / "results/runs", project.path / "kept")
    (project.path / "results" / "runs").symlink_to(project.path / "outside" / "runs")
    before = project.files()
    assert main(["clean", "--yes"]) == 0
    assert "stores/frames: a link" in capsys.readouterr().out
    assert project.files() == before


def test_a_linked_root_is_the_users_own(project, used, capsys):
    wanted = put_unused(project)
    (project.path / "stores").rename(project.path / "disk")
    (project.path / "stores").symlink_to(project.path / "disk")
    assert main(["clean", "--yes"]) == 0
    assert listed(capsys.readouterr().out) == wanted


def test_what_another_configuration_uses(project, used, capsys):
    (project.path / "mine.yaml").write_text("presets: {demo: {frames: {size: 90}}}")
    assert main(["clean", "--configfile", "mine.yaml"]) == 0
    gone = listed(capsys.readouterr().out)
    assert [Path(path).parent.name for path in gone if path.startswith("stores/")] == [
        "features",
        "frames",
        "masks",
        "saliency",
    ]
    assert not any(
        path.startswith(("results/episodes", "stores/index", "results/tables")) for path in gone
    )
    # `--preset` keeps what several presets use.
    (project.path / "mine.yaml").write_text("presets: {other: {extends: demo, frames: {size: 90}}}")
    assert main(["clean", "--configfile", "mine.yaml", "--preset", "demo", "other"]) == 0
    assert capsys.readouterr().out.endswith(
        "0 unused, 0.00 MiB in 0 files; kept is what demo, other uses\n"
    )


def test_mistakes_are_one_line(project, used, capsys):
    before = project.files()
    for words, line in (
        (["--preset", "dmeo"], "--preset: 'dmeo' is not among presets; did you mean 'demo'?"),
        (["--configfile", "none.yaml"], "none.yaml: no such file"),
    ):
        assert main(["clean", "--yes", *words]) == 2
        assert capsys.readouterr().err == f"fsar: error: {line}\n"
    (project.path / "list.yaml").write_text("- 1\n")
    assert main(["clean", "--configfile", "list.yaml"]) == 2
    assert (
        capsys.readouterr().err
        == "fsar: error: list.yaml: expected keys and values, as in config.yaml\n"
    )
    assert project.files().keys() - {"list.yaml"} == before.keys()


def test_pages_of_a_paper_without_tables_go_before_their_logs(project, used):
    """The log alone tells a page from a hand-made one: a clean-up that is stopped in between would leave the page."""
    (project.path / "workflow/tables/i2st_table9.yaml").unlink()
    study = Study(project.study.config, project.path / "workflow")
    gone, left = clean.unused([study])
    pages = [item.path.as_posix() for item in gone if {"report", "page"} & set(item.path.parts)]
    assert pages == ["results/report/i2st/times.html", "results/logs/page/i2st.times.log"]
    assert left == []
    # Another configuration that has it still keeps them.
    assert not [
        item for item in clean.unused([study, project.study])[0] if "i2st" in item.path.name
    ]


def test_only_a_log_tells_a_copy_of_a_table_from_a_hand_made_file(project, used, capsys):
    """`tableN` is a copy of the primary paper's table, and only among tables."""
    for name in (
        "tables/table99.csv",
        "tables/table98.csv",
        "figures/table99.png",
        "tables/mytable97.csv",
    ):
        project.put(f"results/{name}")
    for log in ("primary_table/99", "primary_table/my97", "primary_table/mytable97"):
        project.put(f"results/logs/{log}.log")
    assert main(["clean"]) == 0
    assert listed(capsys.readouterr().out) == ["results/tables/table99.csv"]


def test_not_while_snakemake_runs(project, used, capsys):
    put_unused(project)
    project.put(".snakemake/locks/0.input.lock")
    before = project.files()
    assert main(["clean", "--yes"]) == 2
    assert "snakemake holds this folder (.snakemake/locks)" in capsys.readouterr().err
    assert project.files() == before


def test_a_clean_up_that_was_killed_goes_on(project, used, capsys):
    """A folder is renamed before its files go: no store is ever half there under its own name."""
    store = project.store("frames", f"demo_temporal.8x99.{OLD}")
    half = store.with_name(f".removed.{store.name}")
    store.rename(half)
    (half / "manifest.json").unlink()
    assert main(["clean", "--yes", "--min-age", "0"]) == 0
    assert (
        listed(capsys.readouterr().out) == [half.relative_to(project.path).as_posix()]
        and not half.exists()
    )


def test_removing_renames_first(project, monkeypatch):
    store = project.store("frames", f"demo_temporal.8x99.{OLD}")
    seen = []
    monkeypatch.setattr(
        clean.shutil, "rmtree", lambda path: seen.append((path.name, store.exists()))
    )
    clean.remove(clean.Item(store, 0, 0))
    assert seen == [(f".removed.{store.name}", False)]
