"""Memory, time and operations beside the accuracies of a table with `cost`, as `fsar complexity` measured them."""

from __future__ import annotations

from statistics import median
from typing import Any

from fsar_core.paper import Row, Table
from fsar_core.reporting.render import Block

PASSES = {"test": "test pass", "train": "training pass"}
MIB = 2**20


def columns(row: Row, complexity: dict[str, Any]) -> dict[str, float | int | None]:
    """CSV: parameters, gflop (test pass), and for both passes `<pass>_peak_mib`, `<pass>_seconds` (median), `_min` and
    `_max`, `_ratio`: memory and median time over those of the row that it is compared to."""
    found, plain = (complexity["rows"].get(name) for name in (row.method, row.compare_to))
    record = {"parameters": found and found["parameters"], "gflop": found and round(found["flop"] / 1e9, 3)}
    for kind in PASSES:
        bytes_, plain_bytes = (cost and cost[kind]["peak_bytes"] for cost in (found, plain))
        seconds, plain_seconds = (cost and cost[kind]["seconds"] for cost in (found, plain))
        record[f"{kind}_peak_mib"] = found and round(bytes_ / MIB, 2)
        record[f"{kind}_peak_mib_ratio"] = plain and round(bytes_ / plain_bytes, 3)
        record[f"{kind}_seconds"] = found and round(median(seconds), 4)
        record[f"{kind}_seconds_min"] = found and round(min(seconds), 4)
        record[f"{kind}_seconds_max"] = found and round(max(seconds), 4)
        record[f"{kind}_seconds_ratio"] = plain and round(median(seconds) / median(plain_seconds), 3)
    return record


def block(table: Table, complexity: dict[str, Any]) -> Block:
    """For reading: one row a method, ratios in parentheses."""
    spec, environment = complexity["spec"], complexity["environment"]
    header = ["Method", "Parameters", "GFLOP"]
    header += [f"{what}, {name}" for name in PASSES.values() for what in ("MiB", "seconds")]
    body = []
    for row in table.rows:
        if row.method not in complexity["rows"]:
            continue
        cost = columns(row, complexity)
        line = [row.method, f"{cost['parameters']:,}", f"{cost['gflop']:,.1f}"]
        for kind in PASSES:
            memory, share = cost[f"{kind}_peak_mib"], cost[f"{kind}_peak_mib_ratio"]
            line.append(f"{memory:,.0f}{_ratio(share)}")
            middle, low, high = (cost[f"{kind}_seconds{end}"] for end in ("", "_min", "_max"))
            line.append(f"{middle:.3g} [{low:.3g}, {high:.3g}]{_ratio(cost[f'{kind}_seconds_ratio'])}")
        body.append(line)
    caption = (
        f"Measured here ({environment['device']}, torch {environment['torch']}): head and metric on one {spec['way']}-way "
        f"{spec['shot']}-shot episode with {spec['query']} queries, features of random numbers, {spec['frames']} frames of "
        f"{spec['dim']} x {spec['height']} x {spec['width']}. Parameters that are trained; operations of the test pass (a "
        f"multiplication with its addition is two); what torch holds at most during a pass, features and parameters not "
        f"counted; seconds: median [smallest, largest] of {spec['repeats']} passes; in parentheses the ratio to the row that it "
        f"is compared to."
    )
    return Block(caption, header, body)


def _ratio(value: float | None) -> str:
    return "" if value is None else f" ({value:.2f}×)"
