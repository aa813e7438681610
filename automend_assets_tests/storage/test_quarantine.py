"""Quarantine: one schema, and an account that notices every kind of loss."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automend_assets.storage.quarantine import (
    QUARANTINE_SCHEMA,
    TEXT_CHARACTERS,
    Reconciliation,
    count_by_reason,
    empty_quarantine,
    quarantine_rows,
    reconcile,
    reconcile_rows,
)

ROWS = pl.LazyFrame(
    {
        "row_number": [3, 1, 2, 7],
        "why": ["not_json", None, "too_large", "not_json"],
        "text": ["short", "fine", "ü" * 5_000, None],
    }
)


def numbers(*rows: int) -> pl.LazyFrame:
    return pl.LazyFrame({"row_number": list(rows)}, schema={"row_number": pl.Int64})


def test_refused_rows_keep_their_order_reason_and_the_start_of_their_text() -> None:
    refused = quarantine_rows(
        ROWS,
        stage="processed_records",
        reason=pl.col("why"),
        detail=pl.format("row {}", "row_number"),
        text=pl.col("text"),
    ).collect()
    assert refused.schema == QUARANTINE_SCHEMA
    assert refused.rows() == [
        (3, "processed_records", "not_json", "row 3", "short"),
        (2, "processed_records", "too_large", "row 2", "ü" * TEXT_CHARACTERS),
        (7, "processed_records", "not_json", "row 7", None),
    ]


def test_quarantines_of_all_stages_can_be_put_together() -> None:
    first = quarantine_rows(ROWS, stage="processed_records", reason=pl.col("why"))
    second = quarantine_rows(
        numbers(1).cast(pl.Int32), stage="chatml", reason=pl.lit("unusable_call"), text=pl.lit("x")
    )
    both = pl.concat([empty_quarantine().lazy(), first, second])
    assert both.collect().schema == QUARANTINE_SCHEMA
    assert count_by_reason(both) == {
        "chatml": {"unusable_call": 1},
        "processed_records": {"not_json": 2, "too_large": 1},
    }
    assert list(count_by_reason(both)) == ["chatml", "processed_records"]
    assert count_by_reason(empty_quarantine().lazy()) == {}


def test_counts_that_add_up_are_accepted() -> None:
    account = reconcile(100, 97, {"not_json": 2, "too_large": 1})
    assert account == Reconciliation(100, 97, 3)
    assert account.ok
    assert account.explain() == "100 rows in, 97 out, 3 quarantined: every row is accounted for."
    assert reconcile(0, 0, {}).ok


@pytest.mark.parametrize(
    ("account", "missing", "told"),
    [(reconcile(100, 97, 2), 1, "1 rows missing"), (reconcile(100, 100, 2), -2, "2 rows too many")],
)
def test_counts_that_do_not_add_up_are_told(account: Reconciliation, missing: int, told: str) -> None:
    assert not account.ok
    assert account.missing == missing
    assert told in account.explain()


def test_a_lost_row_and_a_doubled_one_do_not_cancel_out() -> None:
    account = reconcile_rows(numbers(1, 2, 3), numbers(1, 1), numbers(2))
    assert account.missing == 0
    assert not account.ok
    assert account.lost == (3,)
    assert account.doubled == (1,)
    assert account.explain() == (
        "3 rows in, 2 out, 1 quarantined: rows that are nowhere: 3; rows that are there twice or from nowhere: 1."
    )


def test_a_row_that_went_both_ways_or_came_from_nowhere_is_told() -> None:
    assert reconcile_rows(numbers(1), numbers(1), numbers(1)).doubled == (1,)
    assert reconcile_rows(numbers(1), numbers(1, 5), numbers()).doubled == (5,)


def test_many_lost_rows_are_told_by_the_first_ones() -> None:
    account = reconcile_rows(numbers(*range(2_000)), numbers(), numbers())
    assert len(account.lost) == 2_000
    assert "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 1,990 more" in account.explain()


@given(st.sets(st.integers(0, 50)), st.data())
def test_any_split_of_the_rows_is_accepted_and_any_theft_noticed(rows: set[int], data: st.DataObject) -> None:
    refused = {row for row in rows if data.draw(st.booleans())}
    account = reconcile_rows(numbers(*rows), numbers(*(rows - refused)), numbers(*refused))
    assert account.ok
    assert (account.rows_in, account.quarantined) == (len(rows), len(refused))
    if rows:
        stolen = data.draw(st.sampled_from(sorted(rows)))
        kept, still = rows - refused - {stolen}, refused - {stolen}
        assert reconcile_rows(numbers(*rows), numbers(*kept), numbers(*still)).lost == (stolen,)
