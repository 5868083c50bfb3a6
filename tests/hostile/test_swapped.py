"""Valid files in the wrong place: each is refused with one line, whatever the name it lies under.

Every kind of file is made twice by the verbs that the rules call, from the same data set, so that
shapes, specs and class names agree and only what the files are of tells them apart.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from fsar_core.__main__ import main
from fsar_core.data.index import index_identity, read_index, write_index
from fsar_core.episodes import tables
from fsar_core.evaluation.results import read_summary
from fsar_core.papers.registry import validate_figure, validate_table
from fsar_core.specs import (
    BackboneSpec,
    BackboneTrainingSpec,
    Component,
    FeatureSpec,
    RunSpec,
    SaliencySpec,
)
from fsar_core.storage import checkpoint
from fsar_core.storage.bindings import store_content
from fsar_core.storage.provenance import canonical_json, file_sha256, write_json
from fsar_core.stores.reader import StoreReader
from tests.builders import toy_feature_store
from tests.formats import make

DEMO = Component(name="demo_cnn", params={"dim": 8})
TRX = {"head": {"name": "identity"}, "matching": {"name": "trx"}, "shot": 1}
FIGURE = {
    "kind": "embedding",
    "title": "Fig. 1: a toy",
    "where": "nowhere",
    "dataset": "ssv2_small",
    "episode": {"way": 2, "shot": 1, "query": 2, "count": 6},
    "perplexity": 2,
    "panels": [{"method": "TRX", **TRX}],
}


def backbone_training(seed: int) -> BackboneTrainingSpec:
    settings = dict(epochs=1, batch=5, lr=0.01, weight_decay=0.0, crop=16)
    return BackboneTrainingSpec(frames=make.FRAMES, backbone=DEMO, seed=seed, version=1, **settings)


def features_at(cut: str) -> FeatureSpec:
    """Features of the trained backbone before its last stage, so that a tail is loaded."""
    weights = f"trained:{backbone_training(0).digest}"
    backbone = BackboneSpec(name=DEMO.name, params=DEMO.params, weights=weights, version=1)
    return make.FEATURES.model_copy(update={"backbone": backbone, "cut": cut})


TAILED = features_at("layer3")


def run_spec(seed: int = 0, features: FeatureSpec = make.FEATURES) -> RunSpec:
    return make.run_spec().model_copy(update={"seed": seed, "features": features})


def tailed_run(seed: int = 0) -> RunSpec:
    return run_spec(seed, TAILED)


def saliency(seed: int) -> SaliencySpec:
    return SaliencySpec(classifier=make.CLASSIFIER.model_copy(update={"seed": seed}))


def parameters_table(dim: int) -> dict:
    rows = [{"method": "IPM", "published": "0.10M", "head": {"name": "ipm", "params": {"r": 4}}}]
    return {
        "kind": "parameters",
        "title": "T",
        "where": "nowhere",
        "dim": dim,
        "frames": 4,
        "rows": rows,
        "notes": [],
    }


def looked_at():
    """The episodes of the figure."""
    return make.episodes("test").model_copy(update={"query": 2})


def note(store: Path, **inputs: str) -> None:
    """Record what a store was made from, as its seal does."""
    manifest = json.loads((store / "manifest.json").read_text(encoding="utf-8"))
    write_json(store / "manifest.json", manifest | {"inputs": manifest.get("inputs", {}) | inputs})


@dataclass
class Project:
    """Where everything lies, and the verbs that read it; each returns the exit status."""

    root: Path

    def __truediv__(self, name: str) -> Path:
        return self.root / name

    def weights(self, seed: int) -> Path:
        return self / f"weights/trained/{backbone_training(seed).key}.pt"

    def classifier(self, seed: int) -> Path:
        return self / f"weights/saliency/{saliency(seed).classifier.key}.pt"

    def model(self, run: RunSpec) -> Path:
        return self / f"models/{run.model.model_id}/checkpoint.pt"

    def results(self, run: RunSpec) -> Path:
        return self / f"runs/{run.run_id}"

    def inspection(self, run: RunSpec) -> Path:
        return self / f"inspections/fig/{run.run_id}.npz"

    def verb(self, name: str, /, **options: object) -> int:
        return main(
            [
                name,
                *(
                    word
                    for key, value in options.items()
                    for word in (f"--{key.replace('_', '-')}", str(value))
                ),
            ]
        )

    def draw(
        self, split: str, index: str = "index.tsv", frames: str = "frames", out: str | None = None
    ) -> int:
        spec = looked_at() if split == "figure" else make.episodes(split)
        out = self / (out or f"{split}.npz")
        return self.verb(
            "draw-episodes", spec=spec.json_text, index=self / index, frames=self / frames, out=out
        )

    def train_backbone(self, seed: int) -> int:
        out = self.weights(seed)
        return self.verb("train-backbone", spec=backbone_training(seed).json_text, frames=self / "frames",
                         index=self / "index.tsv", out=out, history=out.with_suffix(".csv"), device="cpu")  # fmt: skip

    def train_classifier(self, seed: int) -> int:
        out = self.classifier(seed)
        return self.verb("train-classifier", spec=saliency(seed).classifier.json_text, features=self / "features",
                         index=self / "index.tsv", out=out, history=out.with_suffix(".csv"), device="cpu")  # fmt: skip

    def _of_run(self, run: RunSpec) -> dict[str, object]:
        tail = dict(features=self / "tailed", weights=self.weights(0))
        return {
            "device": "cpu",
            **(tail if run.features == TAILED else dict(features=self / "features")),
        }

    def train(self, run: RunSpec, **beside: Path) -> int:
        out = self.model(run)
        return self.verb("train", spec=run.model.json_text, index=self / "index.tsv", validation=self / "val.npz",
                         checkpoint=out, history=out.with_name("history.csv"), **self._of_run(run), **beside)  # fmt: skip

    def evaluate(self, run: RunSpec) -> int:
        out = self.results(run)
        return self.verb("evaluate", spec=run.json_text, episodes=self / "test.npz", checkpoint=self.model(run),
                         queries=out / "queries.csv.gz", summary=out / "summary.json", **self._of_run(run))  # fmt: skip

    def inspect(self, run: RunSpec) -> int:
        return self.verb("inspect", spec=run.json_text, episodes=self / "figure.npz", episode_spec=looked_at().json_text,
                         checkpoint=self.model(run), frames=self / "frames", kind="embedding", wanted='{"embedding": true}',
                         out=self.inspection(run), **self._of_run(run))  # fmt: skip

    def inspect_saliency(self, name: str = "one") -> int:
        spec = make.SALIENCY.json_text
        return self.verb("inspect-saliency", spec=spec, store=self / "saliency", frames=self / "frames",
                         index=self / "index.tsv", examples=1, out=self / f"actionness/fig/{name}.npz")  # fmt: skip

    def look(self) -> int:
        return self.verb("look", masks=self / "masks", frames=self / "frames", index=self / "index.tsv", clips=1,
                         out=self / "look")  # fmt: skip

    def figure(self, run: RunSpec) -> int:
        figure = validate_figure(FIGURE, "toy").model_dump(mode="json")
        looks = [["ssv2_small", "TRX", str(self.inspection(run))]]
        spec = json.dumps({"figure": figure, "way": 2, "points": [], "looks": looks})
        return self.verb("figure", name="toy", spec=spec, runs=self / "runs", out=self / "figure")

    def actionness(self, name: str = "one") -> int:
        raw = {
            "kind": "actionness",
            "title": "Fig. 1",
            "where": "nowhere",
            "datasets": ["ssv2_small"],
            "examples": 1,
            "salient": 1,
        }
        figure = validate_figure(raw, "toy").model_dump(mode="json")
        watches = [["ssv2_small", str(self / f"actionness/fig/{name}.npz")]]
        spec = json.dumps({"figure": figure, "way": 2, "points": [], "watches": watches})
        return self.verb(
            "figure", name="toy", spec=spec, runs=self / "runs", out=self / "actionness"
        )

    def complexity(self, dim: int) -> int:
        spec = validate_table(parameters_table(dim), "toy").complexity()
        return self.verb(
            "complexity", spec=canonical_json(spec), out=self / f"complexity/{dim}.json"
        )

    def parameters(self, dim: int) -> int:
        table = validate_table(parameters_table(dim), "toy").model_dump(mode="json")
        spec = {
            "table": table,
            "behind": {},
            "way": 2,
            "cells": [],
            "complexity": str(self / f"complexity/{dim}.json"),
        }
        return self.verb(
            "table", name="toy", spec=json.dumps(spec), runs=self / "runs", out=self / "table"
        )

    def table(self, run: RunSpec) -> int:
        raw = {
            "title": "T",
            "where": "nowhere",
            "backbone": "none",
            "datasets": ["ssv2_small"],
            "shots": [1],
        }
        rows = [{"method": "TRX", "head": {"name": "identity"}, "matching": {"name": "trx"}}]
        table = validate_table(raw | {"rows": rows}, "toy").model_dump(mode="json")
        cells = [["TRX", "toy", "1shot", run.run_id]]
        spec = {"table": table, "behind": {"ssv2_small": "toy"}, "way": 2, "cells": cells}
        return self.verb(
            "table", name="toy", spec=json.dumps(spec), runs=self / "runs", out=self / "table"
        )

    def page(self, kind: str, run: RunSpec) -> int:
        about = {"dataset": "toy", "method": "TRX"}
        runs = {"runs_folder": str(self / "runs")}
        card = {"title": "T", "index": str(self / "index.tsv"), "frames": [str(self / "frames")], "licence": "",
                "source": "", "max_failures": 1.0}  # fmt: skip
        data = {
            "datasets": {"toy": card},
            "behind": {"ssv2_small": "toy"},
            "preset": "demo",
            "seed": 0,
        }
        model = about | {"shot": 1, "model": run.model.model_id}
        spec = {
            "classes": {"runs": [about | {"run": run.run_id, "column": "1-shot"}], **runs},
            "data": {**data, "runs": [run.run_id], **runs},
            "training": {"models": [model], "models_folder": str(self / "models")},
        }[kind]
        return self.verb(
            "page", kind=kind, paper="toy", spec=json.dumps(spec), out=self / "page.html"
        )

    def fill_saliency(self) -> int:
        store, spec = self / "other_saliency", saliency(1).json_text
        common = dict(spec=spec, store=store, index=self / "index.tsv")
        if not (store / "plan.json").exists():
            assert self.verb("plan", **common, clips_per_job=64) == 0
        return self.verb("fill", **common, job=0, receipt=store / "receipts/0.json", features=self / "features",
                         weights=self.classifier(1))  # fmt: skip


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Project:
    """Everything twice; the second index has the clips of the first, paired with other rows."""
    project = Project(tmp_path_factory.mktemp("swapped"))
    index = make.index()
    write_index(project / "index.tsv", index)
    other = index.assign(
        path=index.path.iloc[::-1].to_numpy(), file=index.file.iloc[::-1].to_numpy()
    )
    write_index(project / "other.tsv", other)
    make.stores(project.root)
    identity = index_identity(read_index(project / "index.tsv"))
    for kind in ("frames", "features", "masks", "saliency"):
        shutil.copytree(project / kind, project / f"other/{kind}")
        note(project / kind, index=identity)
        note(project / f"other/{kind}", index=index_identity(read_index(project / "other.tsv")))
    for seed in (0, 1):
        assert project.train_backbone(seed) == project.train_classifier(seed) == 0
    for name, seed in (("tailed", 0), ("again/tailed", 5)):
        store, _ = toy_feature_store(
            project / name / "made", index, TAILED, dim=8, height=2, width=2, seed=seed
        )
        shutil.copytree(store, project / name, dirs_exist_ok=True)
        note(project / name, index=identity, weights=file_sha256(project.weights(0)))
    toy_feature_store(project / "again", index, make.FEATURES, dim=4, height=2, width=2, seed=5)
    shutil.move(project / f"again/features/{make.FEATURES.key}", project / "again/moved")
    (project / "again/features").rmdir()
    shutil.move(project / "again/moved", project / "again/features")
    note(project / "again/features", index=identity)
    for split in ("val", "test", "figure"):
        assert project.draw(split) == 0
        assert project.draw(split, "other.tsv", "other/frames", f"other/{split}.npz") == 0
    for run in (run_spec(0), run_spec(1), tailed_run(0), tailed_run(1)):
        assert project.train(run) == project.evaluate(run) == project.inspect(run) == 0
    assert project.inspect_saliency("one") == project.inspect_saliency("two") == 0
    assert project.complexity(16) == project.complexity(32) == 0
    return project


@pytest.fixture
def project(original, tmp_path) -> Project:
    """A copy, in which anything may be put anywhere."""
    shutil.copytree(original.root, tmp_path / "project")
    return Project(tmp_path / "project")


def put(project: Project, source: str | Path, target: str | Path) -> None:
    """Copy a file or a store onto another."""
    source, target = (
        path if isinstance(path, Path) else project / path for path in (source, target)
    )
    assert source.exists() and target.exists()
    if source.is_dir():
        shutil.rmtree(target)
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)


VERBS = {
    "draw-episodes": lambda p: p.draw("test"),
    "train-backbone": lambda p: p.train_backbone(0),
    "train-classifier": lambda p: p.train_classifier(0),
    "train": lambda p: p.train(run_spec()),
    "train behind a cut": lambda p: p.train(tailed_run()),
    "evaluate": lambda p: p.evaluate(run_spec()),
    "evaluate behind a cut": lambda p: p.evaluate(tailed_run()),
    "inspect": lambda p: p.inspect(run_spec()),
    "inspect-saliency": lambda p: p.inspect_saliency(),
    "look": lambda p: p.look(),
    "fill": lambda p: p.fill_saliency(),
    "figure": lambda p: p.figure(run_spec()),
    "figure of actionness": lambda p: p.actionness(),
    "table": lambda p: p.table(run_spec()),
    "table of parameters": lambda p: p.parameters(16),
    **{
        f"page {kind}": lambda p, kind=kind: p.page(kind, run_spec())
        for kind in ("classes", "data", "training")
    },
}


@pytest.mark.parametrize("verb", VERBS)
def test_in_its_place_everything_is_accepted(project, verb, capsys):
    assert VERBS[verb](project) == 0, capsys.readouterr().err


INDEX = "index.tsv: lists other clips than the index that "
EPISODES = "drawn from a clip index of other clips than "
OF_RUN = f"the results of the run {run_spec(1).run_id}, expected those of {run_spec().run_id}; "
CASES = {
    "an index, in the making of episodes": ("draw-episodes", "other.tsv", "index.tsv", INDEX),
    "an index, in the training of a backbone": ("train-backbone", "other.tsv", "index.tsv", INDEX),
    "an index, in the training of a classifier": ("train-classifier", "other.tsv", "index.tsv", INDEX),
    "an index, in a training": ("train", "other.tsv", "index.tsv", INDEX),
    "an index, of actionness": ("inspect-saliency", "other.tsv", "index.tsv", INDEX),
    "an index, of masks": ("look", "other.tsv", "index.tsv", INDEX),
    "an index, on a page": ("page data", "other.tsv", "index.tsv", INDEX),
    "frames, in the making of episodes": ("draw-episodes", "other/frames", "frames", INDEX),
    "frames, under masks": ("look", "other/frames", "frames", INDEX),
    "masks": ("look", "other/masks", "masks", INDEX),
    "actionness": ("inspect-saliency", "other/saliency", "saliency", INDEX),
    "features, in a training": ("train", "other/features", "features", INDEX),
    "features, in a test": ("evaluate", "other/features", "features", "checkpoint.pt: trained with other index than "),
    "features of the same clips, in a test": (
        "evaluate", "again/features", "features", "checkpoint.pt: trained with other features than "),
    "features of the same clips behind a cut": (
        "evaluate behind a cut", "again/tailed", "tailed", "checkpoint.pt: trained with other features than "),
    "validation episodes of another index": ("train", "other/val.npz", "val.npz", f"val.npz: {EPISODES}"),
    "test episodes of another index": ("evaluate", "other/test.npz", "test.npz", f"test.npz: {EPISODES}"),
    "episodes of another index for a figure": ("inspect", "other/figure.npz", "figure.npz", f"figure.npz: {EPISODES}"),
    "validation episodes for a test": ("evaluate", "val.npz", "test.npz", "test.npz: drawn by another spec: split: "),
    "test episodes for a validation": ("train", "test.npz", "val.npz", "val.npz: drawn by another spec: split: "),
    "weights, in a training": (
        "train behind a cut", lambda p: p.weights(1), lambda p: p.weights(0), "weights of the training "),
    "weights, in a test": (
        "evaluate behind a cut", lambda p: p.weights(1), lambda p: p.weights(0), "weights of the training "),
    "a classifier": ("fill", lambda p: p.classifier(0), lambda p: p.classifier(1), "checkpoint of run "),
    "a checkpoint, in a test": (
        "evaluate", lambda p: p.model(run_spec(1)), lambda p: p.model(run_spec()), "checkpoint of run "),
    "a checkpoint, in an inspection": (
        "inspect", lambda p: p.model(run_spec(1)), lambda p: p.model(run_spec()), "checkpoint of run "),
    "an inspection": (
        "figure", lambda p: p.inspection(run_spec(1)), lambda p: p.inspection(run_spec()), f"a copy of fig/{run_spec(1).run_id}"),
    "what was taken out of actionness": (
        "figure of actionness", "actionness/fig/two.npz", "actionness/fig/one.npz", "one.npz: a copy of fig/two, expected "),
    "counted parameters": (
        "table of parameters", "complexity/32.json", "complexity/16.json", "16.json: measured of other rows or sizes "),
    "results, in a table": ("table", lambda p: p.results(run_spec(1)), lambda p: p.results(run_spec()), OF_RUN),
    "results, on a page": ("page classes", lambda p: p.results(run_spec(1)), lambda p: p.results(run_spec()), OF_RUN),
    "results, on a page of settings": (
        "page data", lambda p: p.results(run_spec(1)), lambda p: p.results(run_spec()), OF_RUN),
    "queries alone": (
        "page classes", lambda p: p.results(run_spec(1)) / "queries.csv.gz", lambda p: p.results(run_spec()) / "queries.csv.gz",
        "damaged, or of another test than its summary.json"),
    "a history": (
        "page training", lambda p: p.model(run_spec(1)).with_name("history.csv"),
        lambda p: p.model(run_spec()).with_name("history.csv"), f"the history of {run_spec(1).model.model_id}, expected "),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_in_the_place_of_another_it_is_refused_with_one_line(project, case, capsys):
    verb, source, target, line = CASES[case]
    put(project, *(path(project) if callable(path) else path for path in (source, target)))
    assert VERBS[verb](project) == 2
    (told,) = [
        text for text in capsys.readouterr().err.splitlines() if text.startswith("fsar: error: ")
    ]
    assert line in told
    assert any(word in told for word in ("snakemake", "fsar repair")), told


def test_models_and_results_record_what_they_were_made_from(original):
    index = index_identity(read_index(original / "index.tsv"))
    for run, more in (
        (run_spec(), {}),
        (tailed_run(), {"weights": file_sha256(original.weights(0))}),
    ):
        trained = checkpoint.load(original.model(run), run.model.digest)
        summary = read_summary(original.results(run))
        assert trained["inputs"].keys() == {"index", "features", "clips", "validation", *more}
        assert summary["inputs"].keys() == {"index", "features", "model", "episodes", *more}
        for inputs in (trained["inputs"], summary["inputs"]):
            assert inputs["index"] == index and more.items() <= inputs.items()
        assert trained["inputs"]["features"] == summary["inputs"]["features"]
        assert trained["inputs"]["validation"] == tables.load(original / "val.npz").content
        assert summary["inputs"]["episodes"] == tables.load(original / "test.npz").content
        assert summary["inputs"]["model"] == checkpoint.content(trained["model"])


SGTM = {"width": 4, "heads": 2, "masked": 0, "dropout": 0.0}
LIVE = SGTM | {"saliency": "live", "classes": 2, "classifier_hidden": 4}
OF_STORE = {"head": Component(name="sgtm", params=SGTM), "saliency": make.SALIENCY}
OF_CLASSIFIER = {"head": Component(name="sgtm", params=LIVE), "classifier": make.CLASSIFIER}
OF_MASKS = {"head": Component(name="ipm", params={"r": 1}), "masks": make.MASKS}


@pytest.mark.parametrize(
    ("changes", "kind"),
    [(OF_STORE, "saliency"), (OF_CLASSIFIER, "classifier"), (OF_MASKS, "masks")],
    ids=["store", "classifier", "masks"],
)
def test_what_a_model_learns_from_beside_its_features_is_recorded(project, changes, kind, capsys):
    """And compared, where a killed training goes on."""
    run = run_spec().model_copy(update=changes | {"matching": Component(name="bimhm")})
    place = project.classifier(0) if kind == "classifier" else project / kind
    words = {kind: place}
    assert project.train(run, **words) == 0, capsys.readouterr().err
    trained = checkpoint.load(project.model(run), run.model.digest)
    if kind == "classifier":
        assert trained["inputs"]["classifier"] == file_sha256(project.classifier(0))
    else:
        array = make.array_of(changes[kind])
        assert trained["inputs"][kind] == store_content(StoreReader(project / kind, array))
    last = project.model(run).with_name("last.pt")
    state = {
        "step": 0,
        "seconds": 0.0,
        "history": [],
        "best_score": -1.0,
        "best": None,
        "losses": [],
    }
    inputs = trained["inputs"] | {kind: "0" * 64}
    checkpoint.save(last, {"run": run.model.digest, "inputs": inputs, **state})
    capsys.readouterr()
    assert project.train(run, **words) == 0
    assert (
        f"last.pt was begun with other inputs ({kind}) and is not resumed"
        in capsys.readouterr().out
    )
