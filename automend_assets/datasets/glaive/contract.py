"""What the Glaive dataset promises: columns, the 30 schema checks, the anomalies, the bias slices.

Only the declaration. How checks are run and bias is measured is in `automend_assets.contracts`, how the
columns are filled is in `parse.py`.
"""

from __future__ import annotations

import polars as pl

from automend_assets.contracts.contract import (
    Anomaly,
    BiasSlice,
    Column,
    Contract,
    Expectation,
    OfExpected,
    SliceMetric,
)

TIERS = ("none", "malformed", "simple", "moderate", "complex")
"""No call, a single bad call, one call with at most 2 arguments, one with more, 2 or more calls."""

_TEXT, _NUMBER, _FLAG = pl.String(), pl.Int64(), pl.Boolean()

_SYSTEM, _CHAT, _BOTH = ("system",), ("chat",), ("system", "chat")

_ORIGINAL_COLUMNS = (
    Column(
        "system",
        _TEXT,
        "System prompt as upstream wrote it: the role and the functions that may be called",
        _SYSTEM,
    ),
    Column(
        "chat", _TEXT, "The whole conversation as upstream wrote it, turns marked USER: and ASSISTANT:", _CHAT
    ),
    Column("num_turns", _NUMBER, "User turns", _CHAT),
    Column("num_calls", _NUMBER, "Function calls, malformed ones included", _BOTH),
    Column(
        "complexity_tier",
        _TEXT,
        "none, malformed, simple, moderate or complex: calls and their arguments",
        _BOTH,
    ),
    Column("has_parallel", _FLAG, "Whether one assistant turn makes several calls", _CHAT),
    Column("has_malformed", _FLAG, "Whether a call cannot be used", _BOTH),
    Column(
        "function_calls",
        _TEXT,
        "JSON list of the calls: name and arguments, or code and text if malformed",
        _BOTH,
    ),
    Column(
        "num_defined_functions",
        _NUMBER,
        "Functions that the system prompt defines, repeated names included",
        _SYSTEM,
    ),
    Column("defined_function_names", _TEXT, "JSON list of the names of these functions, in order", _SYSTEM),
    Column(
        "function_signatures", _TEXT, "JSON object by name: description, parameters, types, required", _SYSTEM
    ),
    Column(
        "has_error_handling", _FLAG, "Whether any of the next three columns says that errors occur", _CHAT
    ),
    Column("has_function_error_response", _FLAG, "Whether a function responded with an error", _CHAT),
    Column(
        "has_conditional_error",
        _FLAG,
        "Whether `if` or `when` stands within 30 characters of an error word",
        _CHAT,
    ),
    Column("error_keywords_found", _TEXT, "JSON list of the error keywords that occur as whole words", _CHAT),
)

_NEW_COLUMNS = (
    Column("quarantine_reason", _TEXT, "Why the record cannot be trained on; null for a usable one", _BOTH),
    Column("malformed_reasons", _TEXT, "JSON list of the codes of its malformed calls", _BOTH),
    Column("recovered_reasons", _TEXT, "JSON list of the codes of what was repaired", _BOTH),
    Column("conversation_errors", _TEXT, "JSON list of the codes of what is wrong with its turns", _CHAT),
    Column("num_parallel_calls", _NUMBER, "The most calls that one assistant turn makes", _CHAT),
    Column("num_function_responses", _NUMBER, "FUNCTION RESPONSE turns", _CHAT),
    Column(
        "has_duplicate_function_names",
        _FLAG,
        "Whether the system prompt defines a name more than once",
        _SYSTEM,
    ),
    Column("num_invalid_functions", _NUMBER, "Function definitions that could not be read", _SYSTEM),
    Column("call_errors", _TEXT, "JSON list of where calls contradict the schema of their function", _BOTH),
    Column("num_call_errors", _NUMBER, "Entries of call_errors", _BOTH),
    Column("num_invalid_calls", _NUMBER, "Readable calls with at least one entry in call_errors", _BOTH),
    Column("conversation", _TEXT, "JSON list of all messages in the form that trainers take", _BOTH),
    Column(
        "tools", _TEXT, "JSON list of the defined functions as JSON Schemas; null without functions", _SYSTEM
    ),
    Column("workflow", _TEXT, "JSON of the user and assistant message of the AutoMend workflow form", _BOTH),
)


def _exists(column: Column) -> Expectation:
    return Expectation(
        f"{column.name}_exists",
        "ExpectColumnToExist",
        {"column": column.name},
        f"The column {column.name} exists",
    )


def _not_null(column: str) -> Expectation:
    return Expectation(
        f"{column}_not_null",
        "ExpectColumnValuesToNotBeNull",
        {"column": column},
        f"Every record has {column}",
    )


def _between(column: str, largest: int) -> Expectation:
    return Expectation(
        f"{column}_in_range",
        "ExpectColumnValuesToBeBetween",
        {"column": column, "min_value": 0, "max_value": largest},
        f"{column} lies between 0 and {largest}",
    )


def _boolean(column: str) -> Expectation:
    return Expectation(
        f"{column}_is_boolean",
        "ExpectColumnValuesToBeOfType",
        {"column": column, "type_": "bool"},
        f"{column} is true or false",
    )


_EXPECTATIONS = (
    *map(_exists, _ORIGINAL_COLUMNS),
    *map(_not_null, ("chat", "num_turns", "num_calls", "complexity_tier")),
    _between("num_turns", 50),
    _between("num_calls", 20),
    _between("num_defined_functions", 20),
    Expectation(
        "complexity_tier_in_set",
        "ExpectColumnValuesToBeInSet",
        {"column": "complexity_tier", "value_set": TIERS},
        "complexity_tier is one of the five tiers",
    ),
    *map(
        _boolean,
        (
            "has_parallel",
            "has_malformed",
            "has_error_handling",
            "has_function_error_response",
            "has_conditional_error",
        ),
    ),
    Expectation(
        "chat_long_enough",
        "ExpectColumnValueLengthsToBeBetween",
        {"column": "chat", "min_value": 10},
        "chat has at least 10 characters",
    ),
    Expectation(
        "row_count_in_range",
        "ExpectTableRowCountToBeBetween",
        {"min_value": OfExpected(0.8), "max_value": OfExpected(1.2)},
        "There are 80 % to 120 % of the rows that the manifest asked for, or of all that the source had",
    ),
)

_ANOMALIES = (
    Anomaly(
        "malformed_rate",
        pl.col("has_malformed").mean(),
        "above",
        0.05,
        "Look at malformed_reasons: the source has a new form of call, or is damaged",
        "Share of records with a call that could not be read",
    ),
    Anomaly(
        "no_call_rate",
        (pl.col("complexity_tier") == "none").mean(),
        "above",
        0.60,
        "Check that calls are still found in the source, and draw more records that call functions",
        "Share of records without a call",
    ),
    Anomaly(
        "low_row_count",
        pl.len(),
        "below",
        OfExpected(0.8),
        "Look at the quarantine for what was refused, and at the source for a cut download",
        "Number of records, against what the manifest asked for",
    ),
    Anomaly(
        "mean_turns",
        pl.col("num_turns").mean(),
        "above",
        10,
        "Check how turns are told apart: several conversations may have run into one record",
        "Mean number of user turns",
    ),
    Anomaly(
        "mean_calls",
        pl.col("num_calls").mean(),
        "above",
        5,
        "Check how calls are told apart, and look at the records with the most calls",
        "Mean number of calls",
    ),
    Anomaly(
        "function_coverage",
        (pl.col("num_defined_functions") > 0).mean(),
        "below",
        0.30,
        "Check that function definitions are still found, and draw more records that have them",
        "Share of records that define a function",
    ),
)

# Of records without a malformed call, because num_calls counts those too and malformed_rate watches them.
_READABLE = pl.col("has_malformed").not_()
_CALLS = pl.col("num_calls").filter(_READABLE).sum()
_INVALID_CALLS = pl.col("num_invalid_calls").filter(_READABLE).sum()

_RATES = (
    Anomaly(
        "call_verification_rate",
        # A dataset without a call has none that contradicts its schema.
        pl.when(_CALLS > 0).then(1 - _INVALID_CALLS / _CALLS).otherwise(1.0),
        "below",
        0.90,
        "Look at call_errors: calls to undefined functions or with wrong parameters teach invention",
        "Share of calls that keep to the JSON Schema of the function they call",
    ),
)


def _flag(name: str, condition: pl.Expr, description: str) -> BiasSlice:
    return BiasSlice(
        name, pl.when(condition).then(pl.lit("yes")).otherwise(pl.lit("no")), ("yes", "no"), description
    )


_TURNS, _CALLS_OF_ROW = pl.col("num_turns"), pl.col("num_calls")

_SLICES = (
    BiasSlice("complexity_tier", pl.col("complexity_tier"), TIERS, "Number and shape of the calls"),
    BiasSlice(
        "turn_bucket",
        pl.when(_TURNS <= 1)
        .then(pl.lit("1"))
        .when(_TURNS <= 3)
        .then(pl.lit("2-3"))
        .when(_TURNS <= 5)
        .then(pl.lit("4-5"))
        .otherwise(pl.lit("6+")),
        ("1", "2-3", "4-5", "6+"),
        "User turns",
    ),
    BiasSlice(
        "call_bucket",
        pl.when(_CALLS_OF_ROW <= 2).then(_CALLS_OF_ROW.cast(pl.String)).otherwise(pl.lit("3+")),
        ("0", "1", "2", "3+"),
        "Function calls",
    ),
    _flag("has_error_handling", pl.col("has_error_handling"), "Errors occur or are talked about"),
    _flag("has_parallel", pl.col("has_parallel"), "One assistant turn makes several calls"),
    _flag(
        "has_defined_functions", pl.col("num_defined_functions") > 0, "The system prompt defines a function"
    ),
)

_SLICE_METRICS = (
    SliceMetric("mean_turns", pl.col("num_turns").mean(), "Mean user turns"),
    SliceMetric("mean_calls", pl.col("num_calls").mean(), "Mean calls"),
    SliceMetric(
        "malformed_share", pl.col("has_malformed").mean(), "Share with a call that could not be read"
    ),
    SliceMetric(
        "call_error_share", (pl.col("num_call_errors") > 0).mean(), "Share with a call against its schema"
    ),
    SliceMetric(
        "error_handling_share", pl.col("has_error_handling").mean(), "Share in which errors are handled"
    ),
)

CONTRACT = Contract(
    dataset="glaive",
    asset="processed_records",
    source_asset="raw_sample",
    title="Glaive function calling",
    licence="Apache-2.0",
    source_url="https://huggingface.co/datasets/glaiveai/glaive-function-calling-v2",
    description=(
        "Conversations in which an assistant calls functions, from glaiveai/glaive-function-calling-v2:"
        " the layer that teaches the syntax of tool calls."
    ),
    columns=(
        Column("row_number", _NUMBER, "Zero-based position of the record in the source", ("row_number",)),
        *_ORIGINAL_COLUMNS,
        *_NEW_COLUMNS,
    ),
    expectations=_EXPECTATIONS,
    anomalies=_ANOMALIES,
    rates=_RATES,
    slices=_SLICES,
    slice_metrics=_SLICE_METRICS,
    usable=pl.col("quarantine_reason").is_null(),
)
