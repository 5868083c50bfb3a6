"""Test a trained run from files to files: what `fsar evaluate` does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fsar_core import inputs
from fsar_core.episodes import tables
from fsar_core.evaluation import protocol, results, statistics
from fsar_core.inputs.bank import EpisodeBank
from fsar_core.models.assembly import OpenModel
from fsar_core.specs import RunSpec
from fsar_core.storage.bindings import check_episodes
from fsar_core.storage.places import Place
from fsar_core.storage.provenance import environment


def evaluate_run(
    spec: RunSpec,
    opened: OpenModel,
    episodes: Path,
    checkpoint: Path,
    input_paths: Mapping[str, Place],
    queries: Path,
    summary: Path,
) -> statistics.Estimate:
    """Test a run on its frozen episodes and write the result of every query and a summary.

    Args:
        opened: the run's model, on the features that it is tested on.
        episodes: the frozen test episodes.
        checkpoint: of the trained model.
        input_paths: artifacts of the inputs that the head receives in tests, by the input's key.
        queries: out, one row for each query, .csv.gz.
        summary: out, .json.
    Returns:
        The accuracy in percent, with its 95 % interval.
    Raises:
        FsarError: files are missing, damaged or do not belong together.
    """
    bindings = opened.load(checkpoint, spec)
    table = tables.load(episodes, spec.test)
    check_episodes(episodes, table.index, opened.reader.store, opened.reader.inputs)
    bank = opened.bank(table.rows)
    sources = inputs.open_for_test(spec, input_paths)
    for source in sources:
        source.load(table.rows, opened.compute.memory_gib, opened.compute.threads)
        bindings |= source.digests
    if sources:
        bank = EpisodeBank(bank, sources, "test")
    scores = protocol.logits(opened.model, bank, table, opened.machine, progress=True)
    found = protocol.query_results(table, scores)
    total = statistics.estimate(statistics.episode_accuracy(found))
    value = {
        "run": spec.run_id,
        "spec": spec.model_dump(mode="json"),
        "dataset": spec.tested_on.dataset,
        "backbone": spec.features.backbone.name,
        "accuracy": total.mean,
        "ci95": total.ci95,
        "episodes": total.episodes,
        "queries": len(found),
        "chance": 100 / spec.test.way,
        "per_class": statistics.per_class(found, table.class_names),
        "confusion": statistics.confusion(found, len(table.class_names)).tolist(),
        "class_names": table.class_names,
        "parameters": sum(p.numel() for p in opened.model.trainable),
        "inputs": {**bindings, "episodes": table.content},
        "environment": {**environment(), "device": str(opened.machine.device)},
    }
    results.write(queries, summary, found, value)
    return total
