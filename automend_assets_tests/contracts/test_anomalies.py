"""The 6 anomalies and the verification rate: each trips beyond its threshold, and says so when it cannot tell."""

from __future__ import annotations

import polars as pl
import pytest

from automend_assets.contracts.anomalies import AnomalyResult, alert_of, check_anomalies
from automend_assets.datasets.glaive.contract import CONTRACT
from automend_assets_tests.contracts.frames import processed_records

ROWS = 100
WATCHED = (*CONTRACT.anomalies, *CONTRACT.rates)


def tripped(frame: pl.DataFrame, expected_rows: int = ROWS) -> dict[str, AnomalyResult]:
    results = check_anomalies(WATCHED, frame.lazy(), expected_rows)
    return {result.name: result for result in results if not result.passed}


def share(column: str, rows: int, value: object, rest: object) -> pl.DataFrame:
    """Good records of which the first `rows` have `value` in a column and the others `rest`."""
    return processed_records(ROWS).with_columns(
        pl.Series(column, [value] * rows + [rest] * (ROWS - rows), dtype=CONTRACT.schema[column])
    )


def test_good_records_trip_nothing() -> None:
    assert tripped(processed_records(1_000), 1_000) == {}


@pytest.mark.parametrize(
    ("name", "column", "value", "rest", "last_good", "first_bad"),
    [
        ("malformed_rate", "has_malformed", True, False, 5, 6),
        ("no_call_rate", "complexity_tier", "none", "simple", 60, 61),
        ("mean_turns", "num_turns", 11, 9, 50, 51),
        ("mean_calls", "num_calls", 6, 4, 50, 51),
        ("function_coverage", "num_defined_functions", 0, 1, 70, 71),
        ("call_verification_rate", "num_invalid_calls", 1, 0, 10, 11),
    ],
)
def test_a_figure_trips_just_beyond_its_threshold(
    name: str, column: str, value: object, rest: object, last_good: int, first_bad: int
) -> None:
    def frame(rows: int) -> pl.DataFrame:
        changed = share(column, rows, value, rest)
        if name == "call_verification_rate":
            return changed.with_columns(num_calls=pl.lit(1, pl.Int64), has_malformed=pl.lit(False))
        return changed

    assert name not in tripped(frame(last_good))
    assert name in tripped(frame(first_bad))


@pytest.mark.parametrize(("expected_rows", "trips"), [(125, False), (126, True)])
def test_rows_are_counted_against_what_was_expected(expected_rows: int, trips: bool) -> None:
    assert ("low_row_count" in tripped(processed_records(ROWS), expected_rows)) is trips


def test_a_missing_column_trips_what_needs_it() -> None:
    found = tripped(processed_records(ROWS).drop("num_turns"))
    assert found["mean_turns"].reason == "the column 'num_turns' is missing"
    assert found["mean_turns"].observed is None


def test_without_rows_nothing_is_known_to_be_in_order() -> None:
    found = tripped(processed_records(0), 0)
    assert found["low_row_count"].observed == 0
    assert found["mean_turns"].reason == "there are no rows to compute it from"


def test_an_alert_tells_check_value_threshold_and_what_to_do() -> None:
    result = tripped(share("has_malformed", 12, True, False))["malformed_rate"]
    alert = alert_of(result, "glaive", "v0007")
    assert alert.text.splitlines() == [
        "Anomaly in glaive v0007: malformed_rate",
        "Observed: 0.12",
        "Threshold: at most 0.05",
        f"Recommendation: {result.recommendation}",
    ]


@pytest.mark.parametrize(
    ("observed", "shown"),
    [(4_999.0, "4,999"), (0.123456, "0.1235"), (2.5, "2.50"), (0.0, "0"), (0.00001, "1e-05")],
)
def test_figures_are_readable(observed: float, shown: str) -> None:
    result = AnomalyResult("rows", False, observed, 0.05, "above", "Look")
    assert result.seen == shown
