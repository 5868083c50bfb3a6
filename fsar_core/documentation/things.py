"""What there is to say of one table, figure, data set, component or run, for `fsar show`. Torch-free."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

from fsar_core.components import registry
from fsar_core.components.parameters import COMPUTED, REQUIRED, Parameter
from fsar_core.components.registry import Entry
from fsar_core.config import SPLITS, Card, load
from fsar_core.data.cards import card_file, card_names
from fsar_core.data.index import read_index
from fsar_core.errors import FsarError, did_you_mean
from fsar_core.evaluation.results import read_summary
from fsar_core.papers.kinds import FigureKind, TableKind
from fsar_core.papers.needs import Cell
from fsar_core.specs import Component, RunSpec
from fsar_core.study import Study

KINDS = {
    "backbones": "a backbone",
    "heads": "a head",
    "matching": "a metric",
    "instance_masks": "a mask provider",
}


def tell(study: Study, name: str) -> list[str]:
    """Lines about everything of that name (a data set of a paper and a card may share one). FsarError where there is nothing."""
    cards = card_names(study.workflow / "datasets")
    found: list[list[str]] = []
    if name in study.table_names:
        found.append(list(_table(study, name)))
    if name in study.figure_names:
        found.append(list(_figure(study, name)))
    if name in cards or name in study.config.datasets:
        card = name if name in cards else study.behind(name)
        found.append(list(_dataset(study, name, card)))
    for kind in registry.KINDS:
        if name in registry.names(kind):
            found.append(list(_component(study, registry.entry(kind, name))))
    if name in study.experiments.runs:
        found.append(list(_run(study, name)))
    if not found:
        components = [own for kind in registry.KINDS for own in registry.names(kind)]
        known = [
            *study.table_names,
            *study.figure_names,
            *cards,
            *study.config.datasets,
            *components,
            *study.experiments.runs,
        ]
        near = get_close_matches(name, known, n=1)  # all of them would fill the window
        raise FsarError(
            f"nothing is called '{name}'{did_you_mean(name, near) if near else ''}; `fsar list` has all names"
        )
    return [
        line for number, lines in enumerate(found) for line in (["", *lines] if number else lines)
    ]


def _line(key: str, said: object) -> str:
    return f"  {key:14} {said}"


def _head(
    study: Study,
    name: str,
    shown: TableKind | FigureKind,
    datasets: list[str],
    files: Sequence[Path],
) -> Iterator[str]:
    """What tables and figures have in common."""
    yield f"{name}: {shown.title}"
    yield _line("in the paper", shown.where)
    behind: dict[str, list[str]] = {}
    for dataset in datasets:
        behind.setdefault(study.behind(dataset), []).append(dataset)
    said = [
        card if of == [card] else f"{card} in place of {', '.join(of)}"
        for card, of in behind.items()
    ]
    yield _line("measured on", "; ".join(said) or "no videos")
    there = [file for file in files if file.exists()]
    yield _line(
        "files", f"{files[0]}, {', '.join(file.name.removeprefix(name) for file in files[1:])}"
    )
    yield _line(
        "",
        f"{len(there)} of {len(files)} are there" if len(there) < len(files) else "all are there",
    )
    yield _line("made by", f"snakemake --cores 2 -- {files[0]}")
    for note in shown.notes:
        yield _line("note", note)


def _table(study: Study, name: str) -> Iterator[str]:
    table, files = study.table(name), study.artifacts.get("table", name).files
    yield from _head(study, name, table, table.measured_on(), files)
    by_method: dict[str, list[Cell]] = {}
    for cell in study.experiments.cells(name):
        by_method.setdefault(cell.row.method, []).append(cell)
    for method, cells in by_method.items():
        row = cells[0].row
        over = f"; gain over {row.compare_to}" if row.compare_to else ""
        yield f"  {method}: {_called(row.head)}, {_called(row.matching)}{over}"
        places = {c.run.run_id: (c.run.tested_on.dataset, c.column.label) for c in cells}
        yield from (
            f"    {dataset}, {column}: {_outcome(study, run)}"
            for run, (dataset, column) in places.items()
        )
    label, unmeasured = table.unmeasured_rows()
    if unmeasured:
        yield _line(label, ", ".join(unmeasured))


def _figure(study: Study, name: str) -> Iterator[str]:
    figure, files = study.figure(name), study.artifacts.get("figure", name).files
    points, looks = study.experiments.points(name), study.experiments.looks(name)
    yield from _head(study, name, figure, list(dict.fromkeys(figure.measured_on())), files)
    runs = {point.run.run_id: point.method for point in points} | {
        look.run.run_id: look.subject.method for look in looks
    }
    for run, method in runs.items():
        yield f"  {method}: {_outcome(study, run)}"


def _dataset(study: Study, name: str, card_name: str) -> Iterator[str]:
    card = load(Card, card_file(study.workflow / "datasets", card_name))
    yield (
        f"{name}: {card.title}"
        if name == card_name
        else f"{name}: a data set of the papers; {card_name} stands behind it"
    )
    if name != card_name:
        yield _line("that is", card.title)
    yield _line("source", card.source)
    yield _line("licence", card.licence)
    stands = [paper for paper, own in study.config.datasets.items() if own == card_name]
    if study.config.datasets.get(name, name) != card_name:
        yield _line("in its place", f"{study.behind(name)}, in this configuration")
    yield _line(
        "stands behind",
        ", ".join(stands) or "nothing in this configuration (`datasets:` of config.yaml)",
    )
    try:
        data = study.dataset(card_name)
    except FsarError as error:
        yield _line("clips", f"not yet: {error}")
        return
    yield _line(
        "videos", f"{data.folder}" + ("" if data.folder.exists() else ", which is not there yet")
    )
    for split in SPLITS:
        own = data.clips[data.clips.split == split]
        yield _line(split, f"{own['class'].nunique()} classes, {len(own):,} clips")
    if (index := study.paths.index(card_name)).exists():
        problems = (read_index(index).problem != "").sum()
        yield _line(
            "left out",
            f"{problems:,} of {len(data):,} clips, its card allows {card.max_failures:.1%}",
        )
    else:
        yield _line("left out", "not known before the clips are opened: snakemake --cores 2 index")


def _component(study: Study, entry: Entry) -> Iterator[str]:
    first, _, rest = _docstring(entry).partition("\n")
    yield f"{entry.name}, {KINDS[entry.kind]}: {first}"
    yield _line("class", f"{entry.module}.{entry.class_name}")
    own = getattr(study.preset, entry.kind, {})
    settings = own.get(entry.name, {}) if isinstance(own, dict) else {}
    for name, parameter in entry.parameters.items():
        if name not in entry.supplied:
            here = (
                f"; {settings[name]!r} in the preset {study.config.preset}"
                if name in settings
                else ""
            )
            yield _line(name, _default(parameter) + here)
    if entry.kind == "backbones":
        setups = {None: study.specs.setup(None)} | {
            name: study.specs.setup(name) for name in study.preset.setups
        }
        of = [
            name or "the preset's own"
            for name, setup in setups.items()
            if setup.backbone.name == entry.name
        ]
        yield _line(
            "used by", f"setups of the preset {study.config.preset}: {', '.join(of) or 'none'}"
        )
    elif entry.kind == "instance_masks":
        chosen = study.preset.masks.provider == entry.name
        yield _line(
            "used by", f"the preset {study.config.preset}" if chosen else "not by this preset"
        )
    else:
        yield _line(
            "used by", ", ".join(_users(study, entry.kind, entry.name)) or "no table or figure"
        )
    yield from (f"  {line}".rstrip() for line in rest.splitlines())


def _docstring(entry: Entry) -> str:
    module = Path(registry.PACKAGE, *entry.module.split(".")[1:])
    source = (
        module.with_suffix(".py") if module.with_suffix(".py").exists() else module / "__init__.py"
    )
    return ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""


def _default(parameter: Parameter) -> str:
    words = {REQUIRED: "to be given", COMPUTED: "computed"}
    default = parameter.default
    said = words.get(default) if isinstance(default, str) else None
    choices = ", ".join(map(repr, parameter.choices))
    return (said or repr(default)) + (f" (of {choices})" if choices else "")


def _users(study: Study, kind: str, name: str) -> list[str]:
    """Tables and figures whose runs have a head or metric."""
    part = {"heads": "head", "matching": "matching"}[kind]
    built = {table: study.table(table).components() for table in study.table_names}
    found = [
        table
        for table, parts in built.items()
        if (kind, name) in {(k, c.name) for _, k, c in parts}
    ]
    for figure in study.figure_names:
        if any(
            getattr(shown.run, part).name == name
            for shown in (*study.experiments.points(figure), *study.experiments.looks(figure))
        ):
            found.append(figure)
    return found


def _run(study: Study, name: str) -> Iterator[str]:
    run: RunSpec = study.experiments.runs[name]
    test, features = run.test, run.tested_on
    yield f"{name}: {_outcome(study, name, named=False)}"
    yield _line("method", f"{_called(run.head)}, {_called(run.matching)}")
    yield _line(
        "features",
        f"{features.backbone.name} at {features.cut}, {features.frames.count} frames a clip",
    )
    yield _line(
        "trained on",
        f"{run.features.dataset}, {run.model.train_shot}-shot, {run.training.episodes:,} episodes",
    )
    yield _line(
        "tested on", f"{features.dataset}, {test.way}-way {test.shot}-shot, {test.count:,} episodes"
    )
    for table in study.table_names:
        for cell in study.experiments.cells(table):
            if cell.run.run_id == name:
                yield _line(
                    "shown in",
                    f"{table}: {cell.row.method}, {cell.paper_dataset}, {cell.column.label}",
                )
    for figure in study.figure_names:
        if any(
            shown.run.run_id == name
            for shown in (*study.experiments.points(figure), *study.experiments.looks(figure))
        ):
            yield _line("shown in", figure)
    yield _line("files", f"{study.paths.run(run)}, {study.paths.model(run.model)}")


def _called(component: Component) -> str:
    params = ", ".join(f"{key}={value}" for key, value in component.params.items())
    return f"{component.name}({params})" if params else component.name


def _outcome(study: Study, run: str, named: bool = True) -> str:
    """What came out of a run, if it is done."""
    path = study.paths.run(study.experiments.runs[run])
    if not (path / "summary.json").exists():
        return f"to be run ({run})" if named else "to be run"
    summary = read_summary(path)
    said = f"{summary['accuracy']:.1f} ± {summary['ci95']:.1f} %"
    return f"{said} ({run})" if named else said
