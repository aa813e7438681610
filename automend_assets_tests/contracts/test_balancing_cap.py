"""A cap on the largest share of a slice: it holds wherever it can hold, and costs no more than it must."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import polars as pl
import pytest

from automend_assets.contracts.balancing import Cells, balance_plan, plan_cells, repeat_rows
from automend_assets.contracts.contract import BiasSlice

CAP = 0.4


def cells_of(counts: dict[tuple[str, ...], int]) -> Cells:
    names = tuple(f"slice{number}" for number in range(len(next(iter(counts)))))
    return Cells(names, tuple(sorted(counts)), tuple(counts[values] for values in sorted(counts)))


def largest_share(cells: Cells, plans: list, position: int = 0) -> float:
    rows_out = [plan.rows_out for plan in plans]
    return max(cells.sums(position, rows_out).values()) / sum(rows_out)


@pytest.mark.parametrize(
    "counts",
    [
        {("a",): 770, ("b",): 120, ("c",): 80, ("d",): 30},
        {("a",): 550, ("b",): 430, ("c",): 10, ("d",): 10},
        {("a",): 9_970, ("b",): 10, ("c",): 10, ("d",): 10},
        {("a",): 41, ("b",): 30, ("c",): 29},
    ],
)
def test_the_cap_is_reached_whatever_the_shares(counts: dict[tuple[str, ...], int]) -> None:
    cells = cells_of(counts)
    plans = plan_cells(cells, max_shares=[CAP])
    assert largest_share(cells, plans) <= CAP
    # One row more of the largest value would be beyond it: nothing was dropped in vain.
    rows_out = [plan.rows_out for plan in plans]
    assert (max(rows_out) + 1) / (sum(rows_out) + 1) > CAP or sum(rows_out) >= 0.9 * cells.total


def test_the_cap_is_reached_beside_other_slices_that_pull_elsewhere() -> None:
    for seed in range(200):
        draw = Random(seed)  # noqa: S311
        counts = {
            (first, second): int(draw.paretovariate(0.4)) % 5_000 + 1
            for first in "abcd"
            for second in "xyz"
            if draw.random() < 0.8
        }
        cells = cells_of(counts)
        if len({first for first, _ in counts}) < 3:
            continue
        plans = plan_cells(cells, max_shares=[CAP, None])
        assert largest_share(cells, plans) <= CAP, seed
        assert all(plan.rows_out <= 5 * plan.rows for plan in plans)


def test_two_values_cannot_both_be_below_the_cap_and_share_the_file_equally() -> None:
    cells = cells_of({("a",): 900, ("b",): 100})
    plans = plan_cells(cells, max_shares=[CAP])
    assert largest_share(cells, plans) == 0.5
    alone = cells_of({("a",): 900})
    assert largest_share(alone, plan_cells(alone, max_shares=[CAP])) == 1.0
    assert sum(plan.rows_out for plan in plan_cells(alone, max_shares=[CAP])) == 900


def test_a_slice_within_its_cap_is_balanced_as_without_one() -> None:
    cells = cells_of({("a",): 38, ("b",): 32, ("c",): 30})
    assert plan_cells(cells, max_shares=[CAP]) == plan_cells(cells)


def test_the_rows_of_the_balanced_file_keep_to_the_cap_of_their_slice() -> None:
    kinds = ["w"] * 770 + ["c"] * 120 + ["k"] * 80 + ["s"] * 30
    frame = pl.DataFrame({"row_number": range(1_000), "kind": kinds}).with_columns(
        pl.col("row_number").cast(pl.Int64)
    )
    part = BiasSlice("kind", pl.col("kind"), ("k", "s", "w", "c"), "Kind", max_share=CAP)
    plan = balance_plan(frame.lazy(), [part], pl.lit(True), seed=42)
    balanced = repeat_rows(frame.lazy(), plan).collect()
    shares = balanced["kind"].value_counts(normalize=True)["proportion"]
    assert shares.max() <= CAP
    uncapped = balance_plan(frame.lazy(), [replace(part, max_share=None)], pl.lit(True), seed=42)
    loose = repeat_rows(frame.lazy(), uncapped).collect()
    assert loose["kind"].value_counts(normalize=True)["proportion"].max() > 0.7
