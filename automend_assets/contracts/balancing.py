"""What can be done about a biased dataset: a weight per row, and a plan that repeats and drops rows.

Both are computed on the *cells* of a dataset, its groups of rows that agree on every slice: there are a few
hundred of them however many rows there are. Which slices there are is declared in the contract, what is
reported about them is in `bias.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from automend_assets.contracts.contract import BiasSlice

NO_VALUE = "(none)"

TARGET_SHARE = 0.05
"""The share that balancing aims at for every slice value below it."""
MAX_COPIES = 5
"""How often one row may appear in a balanced file: more would have the model learn single rows by heart."""
MIN_KEPT = 0.5
"""The share of any cell that under-sampling leaves in, but for values beyond the cap of their slice."""
WEIGHT_BOUNDS = (0.2, 5.0)
"""The smallest and the largest weight of a row."""

_ROUNDS = 200


@dataclass(frozen=True)
class Cells:
    """The usable rows of a dataset, counted by slice values: one entry of `values` and `rows` per cell,
    sorted."""

    slices: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]
    rows: tuple[int, ...]

    @property
    def total(self) -> int:
        return sum(self.rows)

    def shares(self, per_cell: Sequence[float]) -> list[dict[str, float]]:
        """Per slice, the share of each of its values when a cell counts as much as `per_cell` says."""
        total = math.fsum(per_cell)
        return [
            {value: figure / total for value, figure in self.sums(position, per_cell).items()}
            for position in range(len(self.slices))
        ]

    def sums(self, position: int, per_cell: Sequence[float]) -> dict[str, float]:
        """Per value of the slice at `position`, what its cells come to."""
        sums: dict[str, float] = {}
        for values, figure in zip(self.values, per_cell, strict=True):
            sums[values[position]] = sums.get(values[position], 0.0) + figure
        return sums


@dataclass(frozen=True)
class CellPlan:
    """How often the rows of one cell appear in a balanced file: `copies` each, and `extra` of them once
    more."""

    rows: int
    copies: int
    extra: int

    @property
    def rows_out(self) -> int:
        return self.rows * self.copies + self.extra

    @property
    def squares(self) -> int:
        """The sum over the rows of their number of copies, squared."""
        return (self.rows - self.extra) * self.copies**2 + self.extra * (self.copies + 1) ** 2


def slice_values(slices: Sequence[BiasSlice]) -> list[pl.Expr]:
    """The value of every slice as a column that is named after it and has no null."""
    return [part.value.cast(pl.String).fill_null(NO_VALUE).alias(part.name) for part in slices]


def count_cells(frame: pl.LazyFrame, slices: Sequence[BiasSlice], usable: pl.Expr) -> Cells:
    """Count the usable rows of a frame by their slice values."""
    names = [part.name for part in slices]
    counted = (
        frame.filter(usable)
        .select(slice_values(slices))
        .group_by(names)
        .agg(pl.len().alias("__rows__"))
        .collect(engine="streaming")
        .sort(names)
        .rows()
    )
    return Cells(tuple(names), tuple(row[:-1] for row in counted), tuple(row[-1] for row in counted))


def cell_weights(cells: Cells) -> list[float]:
    """The weight of the rows of each cell.

    A row's raw weight is the mean, over the slices, of 1 / (number of values * share of its value): what
    inverse frequency would give it if there were only that slice, averaged. Its mean over the rows is 1. The
    weights are then scaled and clipped to `WEIGHT_BOUNDS` such that their mean is 1 again.
    """
    if not cells.total:
        return []
    shares = cells.shares(cells.rows)
    raw = [
        math.fsum(1 / (len(share) * share[value]) for share, value in zip(shares, values, strict=True))
        / len(shares)
        for values in cells.values
    ]
    low, high = WEIGHT_BOUNDS

    def clipped(scale: float) -> list[float]:
        return [min(max(scale * weight, low), high) for weight in raw]

    def mean(weights: Sequence[float]) -> float:
        return math.fsum(map(math.prod, zip(weights, cells.rows, strict=True))) / cells.total

    # The mean grows with the scale, from `low` to `high`, which lie on both sides of 1.
    below, above = low / max(raw), high / min(raw)
    for _ in range(_ROUNDS):
        middle = (below + above) / 2
        if mean(clipped(middle)) < 1:
            below = middle
        else:
            above = middle
    return [round(weight, 6) for weight in clipped(above)]


def plan_cells(
    cells: Cells,
    target_share: float = TARGET_SHARE,
    max_copies: int = MAX_COPIES,
    max_shares: Sequence[float | None] = (),
) -> list[CellPlan]:
    """How often the rows of each cell appear in a balanced file of about the same size.

    Every slice value below `target_share` should rise to it, at the cost of the other values of its slice.
    Raking (iterative proportional fitting) finds factors per cell that do so for all slices at once, held
    between `MIN_KEPT` and `max_copies`; where the bounds, or slices that contradict each other, stand in the
    way, a value rises as far as they allow.

    `max_shares` are the caps of the slices. A cap always holds in the plan, whatever has to be dropped for it,
    unless a slice has too few values for it to be possible: then they share the file equally.
    """
    if not cells.total:
        return []
    targets, capped = [], set()
    for position, shares in enumerate(cells.shares(cells.rows)):
        cap = _possible_cap(max_shares[position] if max_shares else None, shares)
        wanted = _capped(_targets(shares, target_share), cap)
        targets.append({value: cells.total * share for value, share in wanted.items()})
        capped |= {(position, value) for value, share in shares.items() if share > cap}
    lows = [0.0 if any(pair in capped for pair in enumerate(values)) else MIN_KEPT for values in cells.values]
    factors = [1.0] * len(cells.rows)
    for _ in range(_ROUNDS):
        for position, target in enumerate(targets):
            per_cell = [factor * rows for factor, rows in zip(factors, cells.rows, strict=True)]
            reached = cells.sums(position, per_cell)
            factors = [
                min(max(factor * target[values[position]] / reached[values[position]], low), max_copies)
                for factor, low, values in zip(factors, lows, cells.values, strict=True)
            ]
    plans = []
    for factor, rows in zip(factors, cells.rows, strict=True):
        copies = math.floor(factor)
        plans.append(CellPlan(rows, copies, round((factor - copies) * rows)))
    for position, max_share in enumerate(max_shares):
        if max_share is not None:
            plans = _within_cap(cells, plans, position, max_share)
    return plans


def sample_weights(frame: pl.LazyFrame, slices: Sequence[BiasSlice], usable: pl.Expr) -> pl.LazyFrame:
    """A weight for every usable row: `row_number` and `sample_weight`, in the order of the frame, with mean
    1.

    See `cell_weights` for the formula.
    """
    cells = count_cells(frame, slices, usable)
    weights = _cell_frame(cells, {"sample_weight": pl.Series(cell_weights(cells), dtype=pl.Float64)})
    return (
        frame.filter(usable)
        .select("row_number", *slice_values(slices))
        .join(weights, on=list(cells.slices), how="left", maintain_order="left")
        .select("row_number", "sample_weight")
    )


def balance_plan(
    frame: pl.LazyFrame,
    slices: Sequence[BiasSlice],
    usable: pl.Expr,
    *,
    seed: int,
    target_share: float = TARGET_SHARE,
    max_copies: int = MAX_COPIES,
) -> pl.LazyFrame:
    """How often every usable row appears in the balanced file: `row_number` and `copies` (0 to `max_copies`).

    In the order of the frame. Within a cell, the seed and the row number alone decide which rows are repeated
    or dropped, so that a frame in another order gives every row the same copies.
    """
    cells = count_cells(frame, slices, usable)
    plans = plan_cells(cells, target_share, max_copies, [part.max_share for part in slices])
    planned = _cell_frame(
        cells,
        {
            "__copies__": pl.Series([plan.copies for plan in plans], dtype=pl.Int64),
            "__extra__": pl.Series([plan.extra for plan in plans], dtype=pl.Int64),
            "__cell__": pl.Series(range(len(plans)), dtype=pl.UInt32),
        },
    )
    draw = pl.struct(_mixed(pl.col("row_number"), seed).alias("draw"), pl.col("row_number"))
    drawn = draw.rank("ordinal").over("__cell__")
    return (
        frame.filter(usable)
        .select("row_number", *slice_values(slices))
        .join(planned, on=list(cells.slices), how="left", maintain_order="left")
        .select("row_number", "__copies__", "__extra__", "__cell__")
        .select("row_number", (pl.col("__copies__") + (drawn <= pl.col("__extra__"))).alias("copies"))
    )


def repeat_rows(frame: pl.LazyFrame, plan: pl.LazyFrame) -> pl.LazyFrame:
    """The rows of a frame as often as a balance plan says, in its order, copies of a row side by side."""
    return (
        frame.join(plan.filter(pl.col("copies") > 0), on="row_number", how="inner", maintain_order="left")
        .with_columns(pl.int_ranges("copies").alias("copies"))
        .explode("copies")
        .drop("copies")
    )


def effective_rows(total: float, squares: float) -> float:
    """Kish's effective sample size: how many equally weighted rows would tell as much."""
    return total**2 / squares if squares else 0.0


def _targets(shares: dict[str, float], target_share: float) -> dict[str, float]:
    """The share that each value of a slice should have: the rare ones the target, the others what is left."""
    target = min(target_share, 1 / len(shares))
    rare = {value for value, share in shares.items() if share < target}
    left = 1 - target * len(rare)
    common = math.fsum(share for value, share in shares.items() if value not in rare)
    return {value: target if value in rare else share * left / common for value, share in shares.items()}


def _possible_cap(cap: float | None, shares: dict[str, float]) -> float:
    return 1.0 if cap is None else max(cap, 1 / len(shares))


def _capped(shares: dict[str, float], cap: float) -> dict[str, float]:
    """Shares of at most `cap`; what is taken from the larger values goes to the others in proportion."""
    over: set[str] = set()
    while True:
        left = 1 - cap * len(over)
        rest = math.fsum(share for value, share in shares.items() if value not in over)
        scaled = {
            value: cap if value in over else share * left / rest if rest else share
            for value, share in shares.items()
        }
        more = {value for value, share in scaled.items() if value not in over and share > cap + 1e-12}
        if not more or len(over) + len(more) == len(shares):
            return scaled
        over |= more


def _within_cap(cells: Cells, plans: list[CellPlan], position: int, cap: float) -> list[CellPlan]:
    """The plans with as many rows taken out of the largest values of a slice as its cap asks for."""
    rows = {
        value: int(n) for value, n in cells.sums(position, [plan.rows_out for plan in plans]).items() if n
    }
    largest = sorted(rows, key=lambda value: (-rows[value], value))
    cap = _possible_cap(cap, dict.fromkeys(rows, 0.0)) if rows else cap
    allowed = dict(rows)
    for number in range(1, len(largest)):
        others = sum(rows[value] for value in largest[number:])
        if rows[largest[number - 1]] <= cap * sum(allowed.values()):
            break
        # So many rows of each of the `number` largest values, and the others, make exactly the cap.
        room = 1 - number * cap
        most = math.floor(cap * others / room + 1e-9) if room > 1e-9 else rows[largest[number]]
        allowed = {value: most if value in largest[:number] else n for value, n in rows.items()}
    return [
        plan if allowed.get(values[position], 0) >= rows.get(values[position], 0) else _reduced(plan, target)
        for plan, values, target in zip(
            plans, cells.values, _shared_out(cells, plans, position, allowed), strict=True
        )
    ]


def _shared_out(cells: Cells, plans: list[CellPlan], position: int, allowed: dict[str, int]) -> list[int]:
    """The rows of every cell such that each value of a slice has as many as `allowed`, in proportion to the plans."""
    targets = [plan.rows_out for plan in plans]
    for value, rows in allowed.items():
        members = [index for index, values in enumerate(cells.values) if values[position] == value]
        total = sum(plans[index].rows_out for index in members)
        if total <= rows:
            continue
        exact = {index: plans[index].rows_out * rows / total for index in members}
        for index in members:
            targets[index] = math.floor(exact[index])
        missing = rows - sum(targets[index] for index in members)
        for index in sorted(members, key=lambda i: (math.floor(exact[i]) - exact[i], i))[:missing]:
            targets[index] += 1
    return targets


def _reduced(plan: CellPlan, rows_out: int) -> CellPlan:
    return CellPlan(plan.rows, rows_out // plan.rows, rows_out % plan.rows)


def _cell_frame(cells: Cells, columns: dict[str, pl.Series]) -> pl.LazyFrame:
    keys = pl.DataFrame(list(cells.values), schema=dict.fromkeys(cells.slices, pl.String()), orient="row")
    return keys.with_columns(**columns).lazy()


def _mixed(number: pl.Expr, seed: int) -> pl.Expr:
    """SplitMix64 of a row number: unlike polars' own hash, it stays the same from version to version."""
    word = 2**64
    mixed = number.cast(pl.UInt64) + pl.lit(seed * 0x9E3779B97F4A7C15 % word, dtype=pl.UInt64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed // pl.lit(2**shift, dtype=pl.UInt64))) * pl.lit(factor, dtype=pl.UInt64)
    return mixed ^ (mixed // pl.lit(2**31, dtype=pl.UInt64))
