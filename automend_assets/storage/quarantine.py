"""Quarantine: where a row goes that cannot be used, and the account that every row is somewhere.

Here: the one schema of every dataset's quarantine, how to fill it, counts and reconciliation. Not here: which
rows are refused and why (each dataset's own modules); the check in the UI (`contracts/checks.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

TEXT_CHARACTERS = 1_000

#: `row_number`: of the row in the raw frame. `stage`: the asset that refused it. `reason`: a code.
#: `detail`: the same in words. `text`: the first 1,000 characters of the row.
QUARANTINE_SCHEMA = pl.Schema(
    {
        "row_number": pl.Int64,
        "stage": pl.String,
        "reason": pl.String,
        "detail": pl.String,
        "text": pl.String,
    }
)

# How many row numbers a message or a check's metadata shows.
_SHOWN_ROWS = 10


def empty_quarantine() -> pl.DataFrame:
    """A quarantine without rows."""
    return QUARANTINE_SCHEMA.to_frame()


def quarantine_rows(
    rows: pl.LazyFrame,
    *,
    stage: str,
    reason: pl.Expr,
    detail: pl.Expr | None = None,
    text: pl.Expr | None = None,
) -> pl.LazyFrame:
    """The rows whose `reason` is not null, in the form of the quarantine frame and in the order of `rows`.

    `rows` needs a column `row_number`; `text` is cut to its first 1,000 characters.
    """
    nothing = pl.lit(None, dtype=pl.String)
    return (
        rows.select(
            pl.col("row_number"),
            pl.lit(stage).alias("stage"),
            reason.alias("reason"),
            (nothing if detail is None else detail).alias("detail"),
            (nothing if text is None else text.str.head(TEXT_CHARACTERS)).alias("text"),
        )
        .filter(pl.col("reason").is_not_null())
        .match_to_schema(QUARANTINE_SCHEMA, integer_cast="upcast")
    )


def count_by_reason(quarantine: pl.LazyFrame) -> dict[str, dict[str, int]]:
    """Rows by stage and, within it, by reason; both in alphabetical order."""
    counted = quarantine.group_by("stage", "reason").len().sort("stage", "reason").collect()
    counts: dict[str, dict[str, int]] = {}
    for stage, reason, rows in counted.iter_rows():
        counts.setdefault(stage, {})[reason] = rows
    return counts


@dataclass(frozen=True)
class Reconciliation:
    """The account of one stage: `rows_in = rows_out + quarantined`, or what is wrong with it.

    `lost` are rows that went in and are nowhere, `doubled` rows that are there more than once or came from
    nowhere; both hold row numbers and stay empty when only counts were compared.
    """

    rows_in: int
    rows_out: int
    quarantined: int
    lost: tuple[int, ...] = ()
    doubled: tuple[int, ...] = ()

    @property
    def missing(self) -> int:
        """Rows in that are not accounted for; negative when more came out than went in."""
        return self.rows_in - self.rows_out - self.quarantined

    @property
    def ok(self) -> bool:
        return self.missing == 0 and not self.lost and not self.doubled

    def explain(self) -> str:
        """The account in one sentence."""
        account = f"{self.rows_in:,} rows in, {self.rows_out:,} out, {self.quarantined:,} quarantined"
        if self.ok:
            return f"{account}: every row is accounted for."
        wrong = []
        if self.missing:
            kind = "missing" if self.missing > 0 else "too many"
            wrong.append(f"{abs(self.missing):,} rows {kind}")
        if self.lost:
            wrong.append(f"rows that are nowhere: {_some(self.lost)}")
        if self.doubled:
            wrong.append(f"rows that are there twice or from nowhere: {_some(self.doubled)}")
        return f"{account}: {'; '.join(wrong)}."


def reconcile(rows_in: int, rows_out: int, quarantined: int | Mapping[str, int]) -> Reconciliation:
    """Compare counts; `quarantined` is a total or the rows by reason of one stage of `count_by_reason`."""
    total = quarantined if isinstance(quarantined, int) else sum(quarantined.values())
    return Reconciliation(rows_in, rows_out, total)


def reconcile_rows(
    rows_in: pl.LazyFrame, rows_out: pl.LazyFrame, quarantined: pl.LazyFrame
) -> Reconciliation:
    """Compare row by row over `row_number`, so that a lost row and a doubled one do not cancel out."""
    number = pl.col("row_number")
    before = rows_in.select(number)
    after, refused = rows_out.select(number), quarantined.select(number)
    somewhere = pl.concat([after, refused])
    places = somewhere.group_by("row_number").len()
    came_in = before.group_by("row_number").len("came_in")
    account = came_in.join(places, on="row_number", how="full", coalesce=True).with_columns(
        pl.col("came_in").fill_null(0), pl.col("len").fill_null(0)
    )
    sizes_in, sizes_out, sizes_refused, wrong = pl.collect_all(
        [
            before.select(pl.len()),
            after.select(pl.len()),
            refused.select(pl.len()),
            account.filter(pl.col("came_in") != pl.col("len")).sort("row_number"),
        ]
    )
    return Reconciliation(
        rows_in=sizes_in.item(),
        rows_out=sizes_out.item(),
        quarantined=sizes_refused.item(),
        lost=tuple(wrong.filter(pl.col("len") < pl.col("came_in"))["row_number"]),
        doubled=tuple(wrong.filter(pl.col("len") > pl.col("came_in"))["row_number"]),
    )


def _some(rows: tuple[int, ...]) -> str:
    shown = ", ".join(map(str, rows[:_SHOWN_ROWS]))
    return shown if len(rows) <= _SHOWN_ROWS else f"{shown} and {len(rows) - _SHOWN_ROWS:,} more"
