"""Parameters, memory, time and operations beside the accuracies of a table with `cost`, as `fsar complexity` measured them."""

from __future__ import annotations

from statistics import median
from typing import Any

from fsar_core.rendering.tables import Block
from fsar_core.tables.accuracy.model import AccuracyModel, Row

PASSES = {"test": "test pass", "train": "training pass"}
MIB = 2**20


def columns(
    table: AccuracyModel, row: Row, complexity: dict[str, Any]
) -> dict[str, float | int | None]:
    """CSV: parameters, gflop (of the test pass), and for every pass that was measured `<pass>_peak_mib`, `<pass>_seconds`
    (median), `_min` and `_max`, `_ratio`: memory and median time over those of the row that it is compared to.

    Of whole networks `gflop_per_frame` in place of gflop, and where costs were printed `parameters_published`,
    `gflop_per_frame_published`, `test_seconds_published`, in the same units.
    """
    spec, printed = complexity["spec"], row.printed_cost
    found, plain = (complexity["rows"].get(name) for name in (row.method, row.compare_to))
    operations = "gflop_per_frame" if "backbone" in spec else "gflop"
    record = {
        "parameters": found and found["parameters"],
        operations: found and round(found["flop"] / _per(spec), 3),
    }
    for kind in _passes(spec):
        bytes_, plain_bytes = (cost and cost[kind]["peak_bytes"] for cost in (found, plain))
        seconds, plain_seconds = (cost and cost[kind]["seconds"] for cost in (found, plain))
        record[f"{kind}_peak_mib"] = found and round(bytes_ / MIB, 2)
        record[f"{kind}_peak_mib_ratio"] = plain and round(bytes_ / plain_bytes, 3)
        record[f"{kind}_seconds"] = found and round(median(seconds), 4)
        record[f"{kind}_seconds_min"] = found and round(min(seconds), 4)
        record[f"{kind}_seconds_max"] = found and round(max(seconds), 4)
        record[f"{kind}_seconds_ratio"] = plain and round(
            median(seconds) / median(plain_seconds), 3
        )
    if table.prints_costs:
        record["parameters_published"] = printed and round(
            float(printed.parameters.rstrip("M")) * 1e6
        )
        record[f"{operations}_published"] = printed and float(printed.flops.rstrip("G"))
        record["test_seconds_published"] = printed and round(
            float(printed.latency.rstrip("ms")) / 1000, 6
        )
    return record


def block(table: AccuracyModel, complexity: dict[str, Any]) -> Block:
    """For reading: one row a method, printed costs beside the measured, ratios in parentheses."""
    spec, published = complexity["spec"], table.prints_costs
    header = ["Method", "Parameters", "GFLOP a frame" if "backbone" in spec else "GFLOP"]
    header += [f"{what}, {PASSES[kind]}" for kind in _passes(spec) for what in ("MiB", "seconds")]
    header += ["Parameters, printed", "FLOPs, printed", "latency, printed"] if published else []
    body = []
    for row in table.rows:
        line = [row.method, *_measured(columns(table, row, complexity), spec)]
        if published:
            cost = row.printed_cost
            line += [cost.parameters, cost.flops, cost.latency] if cost else ["-"] * 3
        if set(line[1:]) != {"-"}:
            body.append(line)
    return Block(_caption(table, complexity), header, body)


def _measured(cost: dict[str, float | int | None], spec: dict[str, Any]) -> list[str]:
    """The cells of one row."""
    if cost["parameters"] is None:
        return ["-"] * (2 + 2 * len(_passes(spec)))
    operations = (
        f"{cost['gflop_per_frame']:,.2f}" if "backbone" in spec else f"{cost['gflop']:,.1f}"
    )
    cells = [f"{cost['parameters']:,}", operations]
    for kind in _passes(spec):
        memory, share = cost[f"{kind}_peak_mib"], cost[f"{kind}_peak_mib_ratio"]
        cells.append(f"{memory:,.0f}{_ratio(share)}")
        middle, low, high = (cost[f"{kind}_seconds{end}"] for end in ("", "_min", "_max"))
        cells.append(f"{middle:.3g} [{low:.3g}, {high:.3g}]{_ratio(cost[f'{kind}_seconds_ratio'])}")
    return cells


def _caption(table: AccuracyModel, complexity: dict[str, Any]) -> str:
    spec, environment = complexity["spec"], complexity["environment"]
    episode = f"one {spec['way']}-way {spec['shot']}-shot episode with {spec['query']} queries"
    pictures = f"{spec['frames']} frames of"
    if "backbone" in spec:
        measured = (
            f"whole networks, {spec['backbone']['name']} of random weights with head and metric,"
        )
        given, what = "frames", f"{pictures} {spec['crop']} x {spec['crop']} pixels"
        trained, each = ", the backbone's among them", " for each of its frames"
    else:
        measured, trained, each = "head and metric", "", ""
        grid = f"{spec['dim']} x {spec['height']} x {spec['width']}"
        given, what = "features", f"features of random numbers, {pictures} {grid}"
    caption = (
        f"Measured here ({environment['device']}, torch {environment['torch']}): {measured} on {episode}, {what}. Parameters "
        f"that are trained{trained}; operations of the test pass{each} (a multiplication with its addition is two); what "
        f"torch holds at most during a pass, {given} and parameters not counted; seconds: median [smallest, largest] of "
        f"{spec['repeats']} passes; in parentheses the ratio to the row that it is compared to."
    )
    return (
        f"{caption} Beside them what is printed in {table.where}."
        if table.prints_costs
        else caption
    )


def _passes(spec: dict[str, Any]) -> list[str]:
    return spec.get("passes", list(PASSES))


def _per(spec: dict[str, Any]) -> float:
    """What operations are divided by: a billion, of whole networks for each frame of the episode."""
    clips = spec["way"] * spec["shot"] + spec["query"]
    return 1e9 * clips * spec["frames"] if "backbone" in spec else 1e9


def _ratio(value: float | None) -> str:
    return "" if value is None else f" ({value:.2f}×)"
