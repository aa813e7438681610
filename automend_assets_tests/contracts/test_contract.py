"""The declaration itself: bounds relative to what was asked for, contradictions refused, Glaive's promises."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import polars as pl
import pytest

from automend_assets.contracts.contract import Expectation, OfExpected, expected_rows
from automend_assets.datasets.glaive.contract import CONTRACT
from automend_assets.datasets.glaive.parse import PROCESSED_SCHEMA


@pytest.mark.parametrize(
    ("asked", "available", "expected"),
    [(5_000, 112_960, 5_000), (5_000, 870, 870), (None, 112_960, 112_960), (5_000, 0, 0)],
)
def test_rows_are_expected_as_far_as_the_source_has_them(
    asked: int | None, available: int, expected: int
) -> None:
    assert expected_rows(asked, available) == expected


@pytest.mark.parametrize(
    ("expected", "lowest", "highest"),
    [(5_000, 4_000, 6_000), (870, 696, 1_044), (112_960, 90_368, 135_552), (1, 1, 1), (0, 1, 1)],
)
def test_row_bounds_are_the_originals_for_5000_and_move_with_what_was_asked(
    expected: int, lowest: int, highest: int
) -> None:
    (row_count,) = [check for check in CONTRACT.expectations if check.column is None]
    assert row_count.resolved(expected) == {"min_value": lowest, "max_value": highest}
    (low_row_count,) = [check for check in CONTRACT.anomalies if isinstance(check.threshold, OfExpected)]
    assert low_row_count.limit(expected) == lowest


def test_glaive_has_the_columns_of_its_parser() -> None:
    assert CONTRACT.schema == PROCESSED_SCHEMA


def test_glaive_has_the_30_schema_checks_of_the_original() -> None:
    assert Counter(check.kind for check in CONTRACT.expectations) == {
        "ExpectColumnToExist": 15,
        "ExpectColumnValuesToNotBeNull": 4,
        "ExpectColumnValuesToBeBetween": 3,
        "ExpectColumnValuesToBeInSet": 1,
        "ExpectColumnValuesToBeOfType": 5,
        "ExpectColumnValueLengthsToBeBetween": 1,
        "ExpectTableRowCountToBeBetween": 1,
    }
    ranges = {
        check.column: (check.arguments["min_value"], check.arguments["max_value"])
        for check in CONTRACT.expectations
        if check.kind == "ExpectColumnValuesToBeBetween"
    }
    assert ranges == {"num_turns": (0, 50), "num_calls": (0, 20), "num_defined_functions": (0, 20)}
    not_null = [c.column for c in CONTRACT.expectations if c.kind == "ExpectColumnValuesToNotBeNull"]
    assert not_null == ["chat", "num_turns", "num_calls", "complexity_tier"]


def test_glaive_has_the_6_anomaly_thresholds_of_the_original() -> None:
    limits = {anomaly.name: (anomaly.direction, anomaly.limit(5_000)) for anomaly in CONTRACT.anomalies}
    assert limits == {
        "malformed_rate": ("above", 0.05),
        "no_call_rate": ("above", 0.60),
        "low_row_count": ("below", 4_000),
        "mean_turns": ("above", 10),
        "mean_calls": ("above", 5),
        "function_coverage": ("below", 0.30),
    }


@pytest.mark.parametrize(
    ("slice_name", "column", "values", "expected"),
    [
        (
            "turn_bucket",
            "num_turns",
            [0, 1, 2, 3, 4, 5, 6, 50],
            ["1", "1", "2-3", "2-3", "4-5", "4-5", "6+", "6+"],
        ),
        ("call_bucket", "num_calls", [0, 1, 2, 3, 20], ["0", "1", "2", "3+", "3+"]),
        ("has_error_handling", "has_error_handling", [True, False], ["yes", "no"]),
        ("has_parallel", "has_parallel", [True, False], ["yes", "no"]),
        ("has_defined_functions", "num_defined_functions", [0, 1, 7], ["no", "yes", "yes"]),
    ],
)
def test_glaive_slices_cut_where_the_original_does(
    slice_name: str, column: str, values: list[object], expected: list[str]
) -> None:
    (part,) = [part for part in CONTRACT.slices if part.name == slice_name]
    assert pl.DataFrame({column: values}).select(part.value).to_series().to_list() == expected
    assert set(expected) == set(part.values)


def test_calls_in_records_with_a_malformed_call_do_not_count_as_unverified() -> None:
    frame = pl.DataFrame(
        {
            "has_malformed": [False, False, True],
            "num_calls": [3, 1, 5],
            "num_invalid_calls": [1, 0, 2],
        }
    )
    (rate,) = CONTRACT.rates
    assert frame.select(rate.metric).item() == 0.75
    assert frame.with_columns(num_calls=0, num_invalid_calls=0).select(rate.metric).item() == 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"columns": CONTRACT.columns + CONTRACT.columns[:1]}, "'row_number' twice"),
        ({"expectations": CONTRACT.expectations[:1] * 2}, "'system_exists' twice"),
        ({"rates": CONTRACT.anomalies[:1]}, "'malformed_rate' twice"),
        ({"slices": CONTRACT.slices[:1] * 2}, "'complexity_tier' twice"),
        (
            {"expectations": (Expectation("x", "ExpectColumnToExist", {"column": "nowhere"}, "x"),)},
            "'nowhere', which `columns` does not declare",
        ),
    ],
)
def test_a_contract_that_contradicts_itself_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(CONTRACT, **change)  # type: ignore[arg-type]
