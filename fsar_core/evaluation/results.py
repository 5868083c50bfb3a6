"""What a test leaves of a run: queries.csv.gz, one row a query, and summary.json, which holds the sum of the first."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import pandas as pd

from fsar_core.errors import FsarError, mend
from fsar_core.storage.bindings import remake
from fsar_core.storage.provenance import (
    atomic_write,
    check_format,
    file_sha256,
    read_json,
    write_json,
)

FORMAT = 1  # raised by hand when what these files hold changes
ABSENT = "run snakemake to test this run"


def write(
    queries_path: Path, summary_path: Path, queries: pd.DataFrame, summary: dict[str, Any]
) -> None:
    """Both files, each atomically, the summary last. Equal results are equal files."""
    with atomic_write(queries_path, "wb") as stream:
        # A fixed mtime: no time stamp inside.
        queries.to_csv(
            stream,
            index=False,
            lineterminator="\n",
            compression={"method": "gzip", "mtime": 1},
            float_format="%.6g",
        )
    write_json(
        summary_path, {**summary, "format": FORMAT, "queries_sha256": file_sha256(queries_path)}
    )


def read_summary(run: Path) -> dict[str, Any]:
    """The summary of a run.

    Args:
        run: the folder of the run, which is named by the run's id.
    Raises:
        FsarError: the run is not tested, or its summary is damaged, of a newer format or of another run.
    """
    path = Path(run) / "summary.json"
    summary = read_json(path, ABSENT)
    check_format(summary.get("format", 1), FORMAT, path)
    expected = path.absolute().parent.name
    if summary.get("run", expected) != expected:
        raise FsarError(
            f"{path}: the results of the run {summary['run']}, expected those of {expected}; "
            f"{remake('evaluate_head', path)}"
        )
    return summary


def read_queries(run: Path) -> pd.DataFrame:
    """The single queries behind a run's summary. FsarError where they are missing, damaged or of another test."""
    path, expected = Path(run) / "queries.csv.gz", read_summary(run).get("queries_sha256")
    try:
        # Tests of before there were sums have gzip's own checksum alone.
        if expected is not None and file_sha256(path) != expected:
            raise FsarError(
                f"{path}: damaged, or of another test than its summary.json; {mend(path)}"
            )
        return pd.read_csv(io.BytesIO(gzip.decompress(path.read_bytes())))
    except FileNotFoundError:
        raise FsarError(f"{path}: missing; {ABSENT}") from None
    except FsarError:
        raise
    except (
        Exception
    ) as error:  # BadGzipFile, EOFError, zlib.error, ParserError: whatever a damaged file gives
        raise FsarError(f"{path}: damaged ({type(error).__name__}); {mend(path)}") from None
