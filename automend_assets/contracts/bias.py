"""The bias report: how large the slices of a dataset are, what is wrong with that, and what balancing
changes.

Weights and the balancing plan themselves are in `balancing.py`, the picture is in `bias_plot.py`.
"""

from __future__ import annotations

import math
from typing import Any

import polars as pl

from automend_assets.contracts.balancing import (
    MAX_COPIES,
    MIN_KEPT,
    TARGET_SHARE,
    WEIGHT_BOUNDS,
    CellPlan,
    Cells,
    cell_weights,
    count_cells,
    effective_rows,
    plan_cells,
    slice_values,
)
from automend_assets.contracts.contract import Contract

UNDER_REPRESENTED = 0.05
"""A slice value with a smaller share of the rows is under-represented, with medium severity."""
HIGH_SEVERITY = 0.01
"""A slice value with a smaller share of the rows is under-represented with high severity."""


def bias_report(
    contract: Contract,
    frame: pl.LazyFrame,
    *,
    seed: int,
    target_share: float = TARGET_SHARE,
    max_copies: int = MAX_COPIES,
) -> dict[str, Any]:
    """Describe every slice of a frame, before and after balancing, as plain JSON values.

    Shares are of all rows in `share`, of the usable rows in `usable_share`, of the balanced file in
    `balanced_share`, and of the sum of the sample weights in `weighted_share`. The balanced figures are those
    of `balance_plan` with the same seed, target and cap.
    """
    cells = count_cells(frame, contract.slices, contract.usable)
    plans = plan_cells(cells, target_share, max_copies, [part.max_share for part in contract.slices])
    weights = cell_weights(cells)
    weighted = [weight * rows for weight, rows in zip(weights, cells.rows, strict=True)]
    usable = _by_value(cells, cells.rows)
    balanced = _by_value(cells, [plan.rows_out for plan in plans])
    weighed = _by_value(cells, weighted)
    measured = _measure(contract, frame)
    rows = sum(row["__rows__"] for row in measured[0]) if measured else 0
    rows_out = sum(plan.rows_out for plan in plans)
    slices, findings = [], []
    for position, part in enumerate(contract.slices):
        found = {row[part.name]: row for row in measured[position]}
        values = []
        for value in (*part.values, *sorted(set(found) - set(part.values))):
            row = found.get(value)
            count = row["__rows__"] if row else 0
            usable_rows = int(usable[position].get(value, 0))
            share = _share(count, rows)
            severity = _severity(share, part.over_represented)
            finding = {
                "value": value,
                "rows": count,
                "share": share,
                "severity": severity,
                "recommendation": _recommend_less(part.over_represented)
                if severity == "over"
                else _recommend(severity, count, usable_rows, rows),
            }
            if severity:
                findings.append({"slice": part.name, **finding})
            values.append(
                {
                    **finding,
                    "declared": value in part.values,
                    "usable_rows": usable_rows,
                    "usable_share": _share(usable[position].get(value, 0), cells.total),
                    "balanced_rows": int(balanced[position].get(value, 0)),
                    "balanced_share": _share(balanced[position].get(value, 0), rows_out),
                    "weighted_share": _share(weighed[position].get(value, 0), math.fsum(weighted)),
                    "metrics": {
                        metric.name: _rounded(row[metric.name] if row else None)
                        for metric in contract.slice_metrics
                    },
                }
            )
        described: dict[str, Any] = {"name": part.name, "description": part.description, "values": values}
        if part.over_represented is not None:
            described["over_represented"] = part.over_represented
        slices.append(described)
    return {
        "dataset": contract.dataset,
        "rows": rows,
        "usable_rows": cells.total,
        "thresholds": {"under_represented": UNDER_REPRESENTED, "high_severity": HIGH_SEVERITY},
        "slices": slices,
        "findings": findings,
        "weights": _describe_weights(cells, weights),
        "balance": {
            "seed": seed,
            "target_share": target_share,
            "max_copies": max_copies,
            **_describe_plan(plans),
        },
    }


def _measure(contract: Contract, frame: pl.LazyFrame) -> list[list[dict[str, Any]]]:
    """Per slice, the rows and the metrics of each value, from one shared reading of the frame."""
    per_slice = [
        frame.group_by(slice_values([part]))
        .agg(
            pl.len().alias("__rows__"),
            *(metric.metric.alias(metric.name) for metric in contract.slice_metrics),
        )
        .sort(part.name)
        for part in contract.slices
    ]
    return [collected.rows(named=True) for collected in pl.collect_all(per_slice, engine="streaming")]


def _by_value(cells: Cells, per_cell: list[int] | list[float] | tuple[int, ...]) -> list[dict[str, float]]:
    return [cells.sums(position, per_cell) for position in range(len(cells.slices))]


def _severity(share: float, over_represented: float | None) -> str | None:
    if over_represented is not None and share > over_represented:
        return "over"
    if share < HIGH_SEVERITY:
        return "high"
    return "medium" if share < UNDER_REPRESENTED else None


def _recommend_less(over_represented: float | None) -> str:
    return f"Over {over_represented:.0%} of the rows: train on the balanced file, or with the weights"


def _recommend(severity: str | None, count: int, usable: int, rows: int) -> str | None:
    """What to do about a slice value, given how many rows have it and how many of those can be trained on."""
    if severity is None:
        return None
    wanted = math.ceil((UNDER_REPRESENTED * rows - count) / (1 - UNDER_REPRESENTED))
    if count and not usable:
        return "All of its rows are in quarantine, so none is trained on: correct them at the source"
    if not count:
        return f"No row has it and nothing can be oversampled: collect {wanted:,} if a model must know it"
    if severity == "high":
        return f"Oversample: train on the balanced file, or collect {wanted:,} more rows"
    return f"Collect {wanted:,} more rows, or train with sample_weight"


def _describe_weights(cells: Cells, weights: list[float]) -> dict[str, Any]:
    total = math.fsum(weight * rows for weight, rows in zip(weights, cells.rows, strict=True))
    squares = math.fsum(weight**2 * rows for weight, rows in zip(weights, cells.rows, strict=True))
    return {
        "bounds": list(WEIGHT_BOUNDS),
        "smallest": min(weights, default=None),
        "largest": max(weights, default=None),
        "mean": _rounded(total / cells.total) if cells.total else None,
        "effective_rows": _rounded(effective_rows(total, squares)),
    }


def _describe_plan(plans: list[CellPlan]) -> dict[str, Any]:
    rows_out = sum(plan.rows_out for plan in plans)
    dropped = sum(plan.rows - plan.extra for plan in plans if plan.copies == 0)
    return {
        "min_kept": MIN_KEPT,
        "rows_in": sum(plan.rows for plan in plans),
        "rows_out": rows_out,
        "rows_dropped": dropped,
        "rows_repeated": sum(
            plan.rows if plan.copies > 1 else plan.extra for plan in plans if plan.copies > 0
        ),
        "largest_copies": max((plan.copies + (plan.extra > 0) for plan in plans), default=0),
        "effective_rows": _rounded(effective_rows(rows_out, sum(plan.squares for plan in plans))),
    }


def _share(part: float, whole: float) -> float:
    return round(part / whole, 6) if whole else 0.0


def _rounded(figure: float | None) -> float | None:
    return None if figure is None else round(float(figure), 6)
