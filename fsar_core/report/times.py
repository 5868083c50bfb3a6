"""Run times and memory of the jobs that are done, from Snakemake's benchmark files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pandas as pd

from fsar_core.papers.kinds import Page
from fsar_core.rendering import html

if TYPE_CHECKING:
    from fsar_core.study import Study

# What the rules do, in words; of others the name alone is shown.
RULES = {
    "demo_videos": "drawing demo videos",
    "clip_index": "opening every clip once",
    "fill_frames": "decoding",
    "fill_masks": "reading instance masks",
    "seem_masks": "predicting instance masks",
    "train_backbone": "training backbones",
    "fill_features": "computing features",
    "train_classifier": "training classifiers of frames",
    "fill_saliency": "computing actionness",
    "train_head": "training heads",
    "evaluate_head": "testing heads",
}
COLUMNS = [
    "rule",
    "jobs",
    "seconds",
    "median_seconds",
    "longest_seconds",
    "core_seconds",
    "peak_mb",
]


class TimesPage(Page):
    """How long the jobs took, by rule. Stores and episodes are shared between papers.

    Attributes:
        benchmarks: the folder of benchmark files, also of other papers' jobs.
    """

    title: ClassVar[str] = "Times: how long the jobs took"
    caption: ClassVar[str] = "How long the jobs took, by rule, and how much memory they needed."

    benchmarks: Path

    @classmethod
    def gather(cls, study: Study, tables: Sequence[str]) -> TimesPage:
        return cls(benchmarks=study.config.roots.results / "benchmarks")

    def render(self, paper: str) -> str:
        table = times(self.benchmarks)
        about = html.paragraph(
            "Of all jobs under this folder of results, other papers' too, that leave a benchmark "
            "file. Wall seconds are added up over jobs that may have run at the same time; "
            "processor seconds do not count a GPU's. Run times of single jobs are on the page "
            "Statistics of this report."
        )
        lines = [
            (
                RULES.get(row.rule, row.rule),
                row.rule,
                f"{row.jobs:,}",
                clock(row.seconds),
                clock(row.median_seconds),
                clock(row.longest_seconds),
                clock(row.core_seconds),
                f"{row.peak_mb:,.0f}",
            )
            for row in table.itertuples()
        ]
        header = [
            "What",
            "rule",
            "jobs",
            "wall time of all",
            "median",
            "longest",
            "processor time",
            "largest memory (MB)",
        ]
        total = html.paragraph(
            f"Together {clock(table.seconds.sum())} of wall time and "
            f"{clock(table.core_seconds.sum())} of processor time."
        )
        return html.page(f"{paper.upper()}: run times", about, html.table(header, lines), total)


def times(folder: Path) -> pd.DataFrame:
    """Return one row for each rule, the longest first.

    Columns: jobs, wall seconds of all, of the median and of the longest job, processor seconds, and
    the largest resident memory in MB.

    Args:
        folder: of the benchmark files, <rule>/<what>.tsv; of a job that was repeated the last line
            counts.
    """
    rows = []
    for rule in sorted(path for path in Path(folder).glob("*") if path.is_dir()):
        files = [file for file in sorted(rule.glob("*.tsv")) if file.stat().st_size]
        jobs = [pd.read_csv(file, sep="\t").iloc[-1] for file in files]
        if not jobs:
            continue
        measured = pd.DataFrame(jobs).apply(pd.to_numeric, errors="coerce")
        rows.append(
            (
                rule.name,
                len(measured),
                measured.s.sum(),
                measured.s.median(),
                measured.s.max(),
                measured.cpu_time.sum(),
                measured.max_rss.max(),
            )
        )
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.sort_values("seconds", ascending=False, ignore_index=True)


def clock(seconds: float) -> str:
    """Return seconds for people; a dash where they were not measured."""
    if pd.isna(seconds):
        return "-"
    hours, rest = divmod(int(seconds), 3600)
    minutes = rest // 60
    if hours:
        return f"{hours:,} h {minutes:02} min"
    if minutes:
        return f"{minutes} min {int(seconds) % 60:02} s"
    return f"{seconds:.1f} s"
