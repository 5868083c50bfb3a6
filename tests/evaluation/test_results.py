"""What a test leaves: read back as it was written, and no changed byte goes unnoticed."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from fsar_core.errors import FsarError
from fsar_core.evaluation.results import read_queries, read_summary, write
from fsar_core.maintenance.verify import check
from fsar_core.storage.provenance import write_json

QUERIES = pd.DataFrame(
    {
        "episode": [0, 0, 1, 1],
        "clip": [5, 6, 7, 8],
        "correct": [1, 0, 1, 1],
        "margin": [0.5, -1.25, 3.0, 0.1],
    }
)


@pytest.fixture
def run(tmp_path):
    write(
        tmp_path / "queries.csv.gz",
        tmp_path / "summary.json",
        QUERIES,
        {"accuracy": 75.0, "class_names": ("a", "ü")},
    )
    return tmp_path


def _failure(call) -> str:
    with pytest.raises(FsarError) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_round_trip(run):
    summary = read_summary(run)
    assert (summary["accuracy"], summary["class_names"], summary["format"]) == (75.0, ["a", "ü"], 1)
    pd.testing.assert_frame_equal(read_queries(run), QUERIES)


def test_equal_results_are_equal_files(run, tmp_path):
    other = tmp_path / "other"
    write(
        other / "queries.csv.gz",
        other / "summary.json",
        QUERIES,
        {"accuracy": 75.0, "class_names": ["a", "ü"]},
    )
    for name in ("queries.csv.gz", "summary.json"):
        assert (run / name).read_bytes() == (other / name).read_bytes()


def test_every_changed_or_missing_byte_of_the_queries_is_found(run):
    path = run / "queries.csv.gz"
    whole = path.read_bytes()
    for at in range(len(whole)):
        for changed in (b"", bytes([whole[at] ^ 1]), bytes([whole[at] ^ 0x80])):
            path.write_bytes(whole[:at] + changed + whole[at + 1 :])
            assert _failure(lambda: read_queries(run)) == (
                f"{path}: damaged, or of another test than its summary.json; mend it with `fsar repair {path}`"
            )


def test_queries_of_before_there_were_sums(run):
    """Gzip's own checksum finds what changes a number; its header may differ."""
    path, summary = run / "queries.csv.gz", json.loads((run / "summary.json").read_text())
    write_json(
        run / "summary.json", {key: of for key, of in summary.items() if key != "queries_sha256"}
    )
    whole, found = path.read_bytes(), 0
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        try:
            pd.testing.assert_frame_equal(read_queries(run), QUERIES)
        except FsarError as error:
            assert str(error).startswith(f"{path}: damaged (")
            found += 1
    assert found >= len(whole) - 10


def test_queries_of_another_test_are_refused(run, tmp_path):
    other = tmp_path / "other"
    write(
        other / "queries.csv.gz",
        other / "summary.json",
        QUERIES.assign(correct=0),
        {"accuracy": 0.0},
    )
    (run / "queries.csv.gz").write_bytes((other / "queries.csv.gz").read_bytes())
    assert "damaged, or of another test than its summary.json" in _failure(
        lambda: read_queries(run)
    )


def test_what_is_missing(run):
    (run / "queries.csv.gz").unlink()
    assert (
        _failure(lambda: read_queries(run))
        == f"{run}/queries.csv.gz: missing; run snakemake to test this run"
    )
    (run / "summary.json").unlink()
    for read in (read_summary, read_queries):
        assert (
            _failure(lambda read=read: read(run))
            == f"{run}/summary.json: missing; run snakemake to test this run"
        )


def test_a_newer_format_is_refused_politely(run):
    write_json(run / "summary.json", json.loads((run / "summary.json").read_text()) | {"format": 2})
    assert _failure(lambda: read_summary(run)).startswith(
        f"{run}/summary.json: has format 2, and this fsar knows formats up to 1: "
    )


def test_a_run_in_the_folder_of_another_is_refused(tmp_path, monkeypatch):
    for run in ("one", "two"):
        write(
            tmp_path / run / "queries.csv.gz",
            tmp_path / run / "summary.json",
            QUERIES,
            {"run": run},
        )
        assert read_summary(tmp_path / run)["run"] == run and len(read_queries(tmp_path / run)) == 4
    for name in ("summary.json", "queries.csv.gz"):
        (tmp_path / "one" / name).write_bytes((tmp_path / "two" / name).read_bytes())
    path = tmp_path / "one" / "summary.json"
    line = "the results of the run two, expected those of one"
    command = f"snakemake --cores all -R evaluate_head -- {path}"
    for read in (read_summary, read_queries):
        assert (
            _failure(lambda read=read: read(tmp_path / "one"))
            == f"{path}: {line}; make it again with `{command}`"
        )
    assert any(line in fault for fault in check(tmp_path / "one").faults)
    monkeypatch.chdir(tmp_path / "two")
    assert read_summary(".")["run"] == "two"


def test_summaries_that_name_no_run_are_read(tmp_path):
    write(tmp_path / "queries.csv.gz", tmp_path / "summary.json", QUERIES, {"accuracy": 1.0})
    assert read_summary(tmp_path)["accuracy"] == 1.0
