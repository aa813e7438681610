"""Each of the 30 schema checks on real Great Expectations: it passes on good records and fails on bad ones."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from automend_assets.contracts.contract import Expectation
from automend_assets.contracts.evaluation import evaluate
from automend_assets.contracts.expectations import SchemaResult, check_schema
from automend_assets.datasets.glaive.contract import CONTRACT
from automend_assets_tests.contracts.frames import processed_records

ROWS = 100


def failures(frame: pl.DataFrame, expected_rows: int = ROWS) -> dict[str, SchemaResult]:
    results = check_schema(CONTRACT, frame.lazy(), expected_rows)
    assert [result.name for result in results] == [check.name for check in CONTRACT.expectations]
    return {result.name: result for result in results if not result.passed}


def with_value(column: str, value: Any, row: int = 3) -> pl.DataFrame:
    frame = processed_records(ROWS)
    changed = pl.when(pl.col("row_number") == row).then(pl.lit(value, dtype=frame.schema[column]))
    return frame.with_columns(changed.otherwise(pl.col(column)).alias(column))


def test_good_records_pass_all() -> None:
    assert failures(processed_records(ROWS)) == {}


@pytest.mark.parametrize(
    ("column", "value", "check", "shown"),
    [
        ("chat", None, "chat_not_null", None),
        ("num_turns", None, "num_turns_not_null", None),
        ("num_calls", None, "num_calls_not_null", None),
        ("complexity_tier", None, "complexity_tier_not_null", None),
        ("num_turns", 51, "num_turns_in_range", 51),
        ("num_turns", -1, "num_turns_in_range", -1),
        ("num_calls", 21, "num_calls_in_range", 21),
        ("num_defined_functions", 21, "num_defined_functions_in_range", 21),
        ("complexity_tier", "complexer" * 50, "complexity_tier_in_set", "complexerc"),
        ("chat", "USER: abc", "chat_long_enough", "USER: abc"),
    ],
)
def test_one_bad_value_fails_its_check_and_no_other(column: str, value: Any, check: str, shown: Any) -> None:
    failed = failures(with_value(column, value))
    assert list(failed) == [check]
    assert failed[check].unexpected == 1
    assert failed[check].samples == ({"row_number": 3, "value": shown},)


@pytest.mark.parametrize(("column", "value"), [("num_turns", 0), ("num_turns", 50), ("chat", "0123456789")])
def test_bounds_are_inclusive(column: str, value: Any) -> None:
    assert failures(with_value(column, value)) == {}


def test_a_whole_number_beside_a_null_is_shown_as_one() -> None:
    frame = with_value("num_turns", None, row=1)
    frame = frame.with_columns(num_turns=pl.when(pl.col("row_number") == 2).then(99).otherwise("num_turns"))
    assert failures(frame)["num_turns_in_range"].samples == ({"row_number": 2, "value": 99},)


@pytest.mark.parametrize("column", [check.column for check in CONTRACT.expectations[:15]])
def test_a_missing_column_fails_every_check_of_it_with_a_reason(column: str) -> None:
    failed = failures(processed_records(ROWS).drop(column))
    assert set(failed) == {check.name for check in CONTRACT.expectations if check.column == column}
    assert failed[f"{column}_exists"].observed == "no such column"
    dependent = [result for name, result in failed.items() if name != f"{column}_exists"]
    assert all(f"{column!r} is missing" in (result.reason or "") for result in dependent)


@pytest.mark.parametrize(
    "column",
    [
        "has_parallel",
        "has_malformed",
        "has_error_handling",
        "has_function_error_response",
        "has_conditional_error",
    ],
)
@pytest.mark.parametrize("dtype", [pl.String, pl.Int64])
def test_a_flag_of_another_type_fails(column: str, dtype: type[pl.DataType]) -> None:
    failed = failures(processed_records(ROWS).with_columns(pl.col(column).cast(dtype)))
    assert list(failed) == [f"{column}_is_boolean"]
    assert failed[f"{column}_is_boolean"].observed == str(dtype())


def test_numbers_that_became_text_fail_instead_of_raising() -> None:
    failed = failures(processed_records(ROWS).with_columns(pl.col("num_turns").cast(pl.String)))
    assert list(failed) == ["num_turns_in_range"]
    assert "of type String, cannot be compared" in (failed["num_turns_in_range"].reason or "")


@pytest.mark.parametrize(("expected_rows", "fails"), [(83, True), (84, False), (125, False), (126, True)])
def test_rows_are_counted_against_what_was_expected(expected_rows: int, fails: bool) -> None:
    failed = failures(processed_records(ROWS), expected_rows)
    assert list(failed) == (["row_count_in_range"] if fails else [])


def test_an_empty_frame_fails_its_row_count() -> None:
    assert "row_count_in_range" in failures(processed_records(0), 0)


def test_a_frame_without_row_numbers_is_checked_by_position() -> None:
    failed = failures(with_value("num_calls", 99, row=42).drop("row_number"))
    assert failed["num_calls_in_range"].samples == ({"row_number": 42, "value": 99},)


def test_only_a_few_failing_rows_are_shown() -> None:
    failed = failures(processed_records(ROWS).with_columns(chat=pl.lit("short")))
    assert failed["chat_long_enough"].unexpected == ROWS
    assert len(failed["chat_long_enough"].samples) == 5


def test_an_evaluation_is_the_same_twice_and_plain_json() -> None:
    frame = with_value("complexity_tier", None).lazy()
    first = json.dumps(evaluate(CONTRACT, frame, ROWS).as_json(), sort_keys=True)
    assert first == json.dumps(evaluate(CONTRACT, frame, ROWS).as_json(), sort_keys=True)
    assert not evaluate(CONTRACT, frame, ROWS).passed
    assert evaluate(CONTRACT, processed_records(ROWS).lazy(), ROWS).passed


def test_an_unknown_kind_of_expectation_is_an_error_of_the_contract() -> None:
    contract = replace(CONTRACT, expectations=(Expectation("x", "ExpectMiracles", {}, "x"),))
    with pytest.raises(AttributeError, match="ExpectMiracles"):
        check_schema(contract, processed_records(ROWS).lazy(), ROWS)


def test_great_expectations_writes_no_files_and_draws_no_progress_bar(tmp_path: Path) -> None:
    home, temporary = tmp_path / "home", tmp_path / "tmp"
    home.mkdir()
    temporary.mkdir()
    program = (
        "from automend_assets.contracts.expectations import check_schema\n"
        "from automend_assets.datasets.glaive.contract import CONTRACT\n"
        "from automend_assets_tests.contracts.frames import processed_records\n"
        "assert all(r.passed for r in check_schema(CONTRACT, processed_records(50).lazy(), 50))\n"
        "import os; assert os.environ['GX_ANALYTICS_ENABLED'] == 'false'\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=home,
        env={"PATH": "/usr/bin:/bin", "HOME": str(home), "TMPDIR": str(temporary), "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout + done.stderr == ""
    assert [*home.rglob("*"), *temporary.rglob("*")] == []
