"""Run times and memory of the jobs that are done, from Snakemake's benchmark files."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from fsar_core.rendering import web

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
COLUMNS = ["rule", "jobs", "seconds", "median_seconds", "longest_seconds", "core_seconds", "peak_mb"]


def times(folder: Path) -> pd.DataFrame:
    """One row a rule, the longest first: jobs, wall seconds of all, of the median and of the longest job, processor seconds,
    and the largest resident memory in MB.

    Args:
        folder: of the benchmark files, <rule>/<what>.tsv; of a job that was repeated the last line counts.
    """
    rows = []
    for rule in sorted(path for path in Path(folder).glob("*") if path.is_dir()):
        jobs = [pd.read_csv(file, sep="\t").iloc[-1] for file in sorted(rule.glob("*.tsv")) if file.stat().st_size]
        if jobs:
            table = pd.DataFrame(jobs).apply(pd.to_numeric, errors="coerce")
            own = [
                len(table),
                table.s.sum(),
                table.s.median(),
                table.s.max(),
                table.cpu_time.sum(),
                table.max_rss.max(),
            ]
            rows.append((rule.name, *own))
    return pd.DataFrame(rows, columns=COLUMNS).sort_values("seconds", ascending=False, ignore_index=True)


def page(paper: str, folder: Path) -> str:
    """The page. The folder may hold jobs of other papers, too: stores and episodes are shared."""
    table = times(folder)
    told = web.paragraph(
        "Of all jobs under this folder of results, other papers' too, that leave a benchmark file. Wall seconds are added up "
        "over jobs that may have run at the same time; processor seconds do not count a GPU's. Run times of single jobs are on "
        "the page Statistics of this report."
    )
    lines = [
        (
            RULES.get(r.rule, r.rule),
            r.rule,
            f"{r.jobs:,}",
            clock(r.seconds),
            clock(r.median_seconds),
            clock(r.longest_seconds),
            clock(r.core_seconds),
            f"{r.peak_mb:,.0f}",
        )
        for r in table.itertuples()
    ]
    header = ["What", "rule", "jobs", "wall time of all", "median", "longest", "processor time", "largest memory (MB)"]
    total = (
        f"Together {clock(table.seconds.sum())} of wall time and {clock(table.core_seconds.sum())} of processor time."
    )
    return web.page(f"{paper.upper()}: run times", told, web.table(header, lines), web.paragraph(total))


def clock(seconds: float) -> str:
    """Seconds for people; a dash where they were not measured."""
    if pd.isna(seconds):
        return "-"
    minutes, hours = divmod(int(seconds), 3600)[1] // 60, int(seconds) // 3600
    return (
        f"{hours:,} h {minutes:02} min"
        if hours
        else f"{minutes} min {int(seconds) % 60:02} s"
        if minutes
        else f"{seconds:.1f} s"
    )
