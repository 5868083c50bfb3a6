"""A finished toy-size run, whose files are damaged and swapped one at a time. The tests put back what they change."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fsar_core.specs import RunSpec
from fsar_core.study import Study
from tests.workflow.folders import Folder, runs_of, study


@dataclass(frozen=True)
class Project:
    """A finished run of three rows: plain OTAM, DMGAL on OTAM, and I2ST, which learns from masks."""

    path: Path
    study: Study
    run: RunSpec  # DMGAL-FT (OTAM), 1-shot
    plain: RunSpec
    masked: RunSpec

    def store(self, spec) -> Path:
        return self.path / self.study.paths.store(spec)

    @property
    def index(self) -> Path:
        return self.path / self.study.paths.index("demo_temporal")

    @property
    def episodes(self) -> Path:
        return self.path / self.study.paths.episodes(self.run.test)

    @property
    def model(self) -> Path:
        return self.path / self.study.paths.model(self.run.model) / "checkpoint.pt"

    @property
    def results(self) -> Path:
        return self.path / self.study.paths.run(self.run)

    @property
    def weights(self) -> Path:
        return self.path / self.study.specs.weights_option(self.run.features)


def make(path: Path) -> Project:
    """Run it in a folder."""
    whole = study()
    plain, run = runs_of("OTAM", "DMGAL-FT (OTAM)")
    cells = whole.experiments.cells("i2st_table1")
    masked = next(
        c.run
        for c in cells
        if c.run.masks is not None and c.run.features.dataset == "demo_temporal"
    )
    folder = Folder(path)
    saliency = whole.paths.store(whole.specs.saliency("demo_temporal")) / "manifest.json"
    folder.ok(
        "--",
        *(f"{whole.paths.run(spec)}/summary.json" for spec in (plain, run, masked)),
        str(saliency),
    )
    return Project(folder.path, whole, run, plain, masked)
