"""Test a trained run on its frozen episodes: one row per query, and a summary with its 95 % interval."""

from __future__ import annotations

import argparse
from pathlib import Path

from fsar_core.cli.jobs import _run
from fsar_core.specs import RunSpec
from fsar_core.storage.bindings import check_episodes


def arguments(parser: argparse.ArgumentParser) -> None:
    _run.arguments(parser)
    parser.add_argument("--episodes", type=Path, required=True, help="frozen test episodes")
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--queries", type=Path, required=True, help="out: one row per query, .csv.gz")
    parser.add_argument("--summary", type=Path, required=True, help="out: .json")


def run(args: argparse.Namespace) -> None:
    from fsar_core.episodes import tables
    from fsar_core.evaluation import protocol, results, statistics
    from fsar_core.storage.provenance import environment

    spec = RunSpec.parse(args.spec)
    prepared = _run.prepare(args, spec, spec.tested_on)
    bank, model, machine = prepared.bank, prepared.model, prepared.machine
    inputs = _run.load_trained(args, spec, prepared)
    table = tables.load(args.episodes, spec.test)
    check_episodes(args.episodes, table.index, args.features, prepared.reader.inputs)
    queries = protocol.query_results(table, protocol.logits(model, bank(table.rows), table, machine, progress=True))
    total = statistics.estimate(statistics.episode_accuracy(queries))
    summary = {
        "run": spec.run_id,
        "spec": spec.model_dump(mode="json"),
        "dataset": spec.tested_on.dataset,
        "backbone": spec.features.backbone.name,
        "accuracy": total.mean,
        "ci95": total.ci95,
        "episodes": total.episodes,
        "queries": len(queries),
        "chance": 100 / spec.test.way,
        "per_class": statistics.per_class(queries, table.class_names),
        "confusion": statistics.confusion(queries, len(table.class_names)).tolist(),
        "class_names": table.class_names,
        "parameters": sum(p.numel() for p in model.trainable),
        "inputs": {**inputs, "episodes": table.content},
        "environment": {**environment(), "device": str(machine.device)},
    }
    results.write(args.queries, args.summary, queries, summary)
    print(machine.meter.line(machine.device))
    print(f"{spec.run_id}: {total.mean:.2f} ± {total.ci95:.2f} % over {total.episodes} episodes")
