"""Runs the schema checks of a contract with Great Expectations.

Great Expectations has no polars engine, so the frame crosses to pandas here and only here, narrowed to what
the checks can see: a string is cut just past the bound that it is checked against, and a column of which only
the existence is checked carries no values. What the checks are is declared in the contract.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from automend_assets.contracts.contract import Contract, Expectation

if TYPE_CHECKING:
    import great_expectations as gx

_ROW = "__row_number__"
_SAMPLES = 5
_SAMPLE_CHARACTERS = 100
_EXISTS = "ExpectColumnToExist"


@dataclass(frozen=True)
class SchemaResult:
    """What one expectation found.

    `expected` and `observed` are words for a reader; `unexpected` counts the offending rows (None for a check
    of the table) and `samples` shows up to five of them as `{"row_number", "value"}`. `reason` says why a
    check could not be computed; such a check has failed.
    """

    name: str
    passed: bool
    column: str | None
    expected: str
    observed: str
    unexpected: int | None
    samples: tuple[Mapping[str, str | int | float | None], ...] = ()
    reason: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The result as plain JSON values."""
        return {
            "name": self.name,
            "passed": self.passed,
            "column": self.column,
            "expected": self.expected,
            "observed": self.observed,
            "unexpected": self.unexpected,
            "samples": [dict(sample) for sample in self.samples],
            "reason": self.reason,
        }


def check_schema(contract: Contract, frame: pl.LazyFrame, expected_rows: int) -> tuple[SchemaResult, ...]:
    """Check a frame against every expectation of its contract, in the contract's order.

    `expected_rows` is what the row bounds are relative to. A check on a column that the frame lacks fails
    with a reason, and so does one that Great Expectations cannot compute on the values it finds.
    """
    schema = frame.collect_schema()
    runnable = [
        expectation
        for expectation in contract.expectations
        if expectation.column is None or expectation.kind == _EXISTS or expectation.column in schema
    ]
    suite = build_suite(contract, runnable, expected_rows)
    narrow = _narrow(runnable, frame, schema).collect(engine="streaming")
    results = _validate(narrow, suite)
    checked = []
    for expectation in contract.expectations:
        arguments = expectation.resolved(expected_rows)
        if expectation.name in results:
            dtype = schema.get(expectation.column) if expectation.column is not None else None
            checked.append(_read(expectation, arguments, results[expectation.name], dtype))
        else:
            checked.append(_missing(expectation, arguments))
    return tuple(checked)


def build_suite(
    contract: Contract, expectations: list[Expectation], expected_rows: int
) -> gx.ExpectationSuite:
    """The contract's expectations as a Great Expectations suite; each one's name is in its `meta`."""
    # Read at import: without it Great Expectations reports usage to its makers.
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx
    import great_expectations.expectations as kinds

    return gx.ExpectationSuite(
        name=contract.dataset,
        expectations=[
            getattr(kinds, expectation.kind)(
                **expectation.resolved(expected_rows), meta={"name": expectation.name}
            )
            for expectation in expectations
        ],
    )


def _validate(narrow: pl.DataFrame, suite: gx.ExpectationSuite) -> dict[str, Any]:
    """Great Expectations' result per expectation name."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    batch = (
        context.data_sources.add_pandas("frame")
        .add_dataframe_asset("rows")
        .add_batch_definition_whole_dataframe("all")
        .get_batch({"dataframe": narrow.to_pandas()})
    )
    outcome = batch.validate(
        suite,
        result_format={
            "result_format": "SUMMARY",
            "partial_unexpected_count": _SAMPLES,
            "unexpected_index_column_names": [_ROW],
        },
    )
    results: dict[str, Any] = {}
    for result in outcome.results:
        configuration: Any = result.expectation_config
        results[configuration.meta["name"]] = result
    return results


def _narrow(expectations: list[Expectation], frame: pl.LazyFrame, schema: pl.Schema) -> pl.LazyFrame:
    """The columns of the frame, each with no more of its values than the expectations can see."""
    seen: dict[str, list[Expectation]] = {}
    for expectation in expectations:
        if expectation.column is not None and expectation.kind != _EXISTS:
            seen.setdefault(expectation.column, []).append(expectation)
    row = pl.col("row_number") if "row_number" in schema else pl.int_range(pl.len(), dtype=pl.Int64)
    columns = [row.alias(_ROW)]
    for name, dtype in schema.items():
        if name not in seen:
            columns.append(pl.lit(True).alias(name))
        elif dtype == pl.String:
            # A slice alone keeps the whole strings in memory, of which it is a view: 1.7 GB for a million chats.
            columns.append(pl.col(name).str.slice(0, max(map(_characters, seen[name]))) + "")
        else:
            columns.append(pl.col(name))
    return frame.select(columns)


def _characters(expectation: Expectation) -> int:
    """How many characters of a string this expectation can tell apart."""
    match expectation.kind:
        case "ExpectColumnValuesToNotBeNull":
            return 0
        case "ExpectColumnValueLengthsToBeBetween":
            bounds = (expectation.arguments.get("min_value"), expectation.arguments.get("max_value"))
            return max(bound for bound in bounds if isinstance(bound, int)) + 1
        case "ExpectColumnValuesToBeInSet":
            allowed = expectation.arguments["value_set"]
            if not isinstance(allowed, tuple):
                return _SAMPLE_CHARACTERS
            return (
                max((len(str(value)) for value in allowed), default=0) + 1
                if isinstance(allowed, tuple)
                else 0
            )
    return _SAMPLE_CHARACTERS


def _missing(expectation: Expectation, arguments: Mapping[str, object]) -> SchemaResult:
    return SchemaResult(
        name=expectation.name,
        passed=False,
        column=expectation.column,
        expected=_expected(expectation.kind, arguments),
        observed="no such column",
        unexpected=None,
        reason=f"the column {expectation.column!r} is missing, so its values could not be checked",
    )


def _read(
    expectation: Expectation, arguments: Mapping[str, object], result: Any, dtype: pl.DataType | None
) -> SchemaResult:
    """Great Expectations' result in our words."""
    found = result.result
    unexpected = found.get("unexpected_count")
    samples: tuple[Mapping[str, str | int | float | None], ...] = ()
    reason = None
    if expectation.kind == _EXISTS:
        observed = str(dtype) if dtype is not None else "no such column"
    elif "unexpected_count" in found:
        observed = f"{unexpected:,} of {found['element_count']:,} values do not fit"
        samples = tuple(
            {"row_number": int(row[_ROW]), "value": _value(row[expectation.column], dtype)}
            for row in found.get("partial_unexpected_index_list") or ()
        )
    elif "observed_value" in found:
        observed = f"{found['observed_value']:,} rows" if expectation.column is None else str(dtype)
    else:
        observed = "not computed"
        reason = (
            f"the values of {expectation.column!r}, of type {dtype}, cannot be compared: {_exception(result)}"
        )
    return SchemaResult(
        name=expectation.name,
        passed=bool(result.success),
        column=expectation.column,
        expected=_expected(expectation.kind, arguments),
        observed=observed,
        unexpected=unexpected,
        samples=samples,
        reason=reason,
    )


def _value(value: Any, dtype: pl.DataType | None) -> str | int | float | None:
    """A value as it was in the frame: pandas makes null NaN, and whole numbers beside a null floats."""
    if value is None or value != value:
        return None
    if dtype is not None and dtype.is_integer():
        return int(value)
    if isinstance(value, float):
        return float(value)
    return str(value)[:_SAMPLE_CHARACTERS]


def _exception(result: Any) -> str:
    """The message of the exception that Great Expectations caught, on one line and of bounded length."""
    information = result.exception_info
    if "exception_message" not in information:
        information = next(iter(information.values()))
    return " ".join(str(information["exception_message"]).split())[:200]


def _expected(kind: str, arguments: Mapping[str, Any]) -> str:
    """The promise in a few words."""
    low, high = arguments.get("min_value"), arguments.get("max_value")
    upper = f"at most {high}" if low is None else f"{low} to {high}"
    bounds = f"at least {low}" if high is None else upper
    match kind:
        case "ExpectColumnToExist":
            return "exists"
        case "ExpectColumnValuesToNotBeNull":
            return "no null"
        case "ExpectColumnValuesToBeBetween":
            return bounds
        case "ExpectColumnValueLengthsToBeBetween":
            return f"{bounds} characters"
        case "ExpectTableRowCountToBeBetween":
            return f"{bounds} rows"
        case "ExpectColumnValuesToBeInSet":
            return f"one of {', '.join(map(str, arguments['value_set']))}"
        case "ExpectColumnValuesToBeOfType":
            return f"type {arguments['type_']}"
    return ", ".join(f"{key} = {value}" for key, value in arguments.items())
