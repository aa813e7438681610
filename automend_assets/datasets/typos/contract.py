"""What the pairs of typo and correction promise: columns, checks, anomalies, slices.

Only the declaration. Which rows are refused is in `interactions.py`.
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
from automend_assets.datasets.typos.interactions import MAX_CHARACTERS
from automend_assets.datasets.typos.texts import DOMAINS

_COLUMNS = (
    Column("row_number", pl.Int64(), "Id in the table, or number of the record in a file", ("row_number",)),
    Column("typo", pl.String(), "What somebody typed, without white space around it", ("typo",)),
    Column("corrected", pl.String(), "What was meant, likewise", ("corrected",)),
    Column("domain", pl.String(), "The field it was typed into: brand or model", ("domain",)),
    Column(
        "created_at",
        pl.Datetime("us", "UTC"),
        "When the correction came in; null where unknown",
        ("created_at",),
    ),
)


def _not_null(column: str) -> Expectation:
    return Expectation(
        f"{column}_not_null",
        "ExpectColumnValuesToNotBeNull",
        {"column": column},
        f"{column} is never missing",
    )


def _length(column: str) -> Expectation:
    return Expectation(
        f"{column}_length",
        "ExpectColumnValueLengthsToBeBetween",
        {"column": column, "min_value": 1, "max_value": MAX_CHARACTERS},
        f"{column} has 1 to {MAX_CHARACTERS} characters",
    )


_EXPECTATIONS = (
    *map(_not_null, ("row_number", "typo", "corrected", "domain")),
    *map(_length, ("typo", "corrected")),
    Expectation(
        "domain_in_set",
        "ExpectColumnValuesToBeInSet",
        {"column": "domain", "value_set": DOMAINS},
        "domain is brand or model",
    ),
    Expectation(
        "row_number_unique",
        "ExpectColumnValuesToBeUnique",
        {"column": "row_number"},
        "No row comes twice",
    ),
    Expectation(
        "row_count_in_range",
        "ExpectTableRowCountToBeBetween",
        {"min_value": 1, "max_value": OfExpected(1.0)},
        "There is at least one pair, and no more than rows",
    ),
)

_ANOMALIES = (
    Anomaly(
        "low_row_count",
        pl.len(),
        "below",
        OfExpected(0.8),
        "Look at the quarantine: many corrections are refused, and its reasons say why",
        "Number of pairs, against the rows that came in",
    ),
)

_RATES = (
    Anomaly(
        "length_change",
        (
            (
                pl.col("typo").str.len_chars().cast(pl.Int64)
                - pl.col("corrected").str.len_chars().cast(pl.Int64)
            ).abs()
            * 2
            > pl.col("corrected").str.len_chars()
        ).mean(),
        "above",
        0.25,
        "Look at the pairs: corrections that rewrite what was typed are no typos",
        "Share of pairs whose lengths differ by more than half of the correction",
    ),
    Anomaly(
        "pairs_per_correction",
        pl.len() / pl.struct("corrected", "domain").n_unique(),
        "above",
        200,
        "Look for a client that sends one correction again and again",
        "Mean number of pairs of one correction",
    ),
)

_LENGTH = pl.col("corrected").str.len_chars()

_SLICES = (
    BiasSlice("domain", pl.col("domain"), DOMAINS, "The field"),
    BiasSlice(
        "length",
        pl.when(_LENGTH <= 3)
        .then(pl.lit("1-3"))
        .when(_LENGTH <= 6)
        .then(pl.lit("4-6"))
        .when(_LENGTH <= 10)
        .then(pl.lit("7-10"))
        .otherwise(pl.lit(">10")),
        ("1-3", "4-6", "7-10", ">10"),
        "Characters of the correction: the shorter, the less a typo leaves",
    ),
    BiasSlice(
        "digits",
        pl.when(pl.col("corrected").str.contains(r"\d"))
        .then(pl.lit("with digits"))
        .otherwise(pl.lit("letters only")),
        ("letters only", "with digits"),
        "Whether the correction has digits, where one character makes another model",
    ),
)

_SLICE_METRICS = (
    SliceMetric("typo_characters", pl.col("typo").str.len_chars().mean(), "Mean characters of the typo"),
    SliceMetric("corrections", pl.col("corrected").n_unique(), "Distinct corrections"),
)

CONTRACT = Contract(
    dataset="typos",
    asset="training_pairs",
    source_asset="interactions",
    title="Typos and their corrections",
    licence="other",
    source_url="https://supabase.com",
    description=(
        "What people typed into fields for makes and models of cars and what it was corrected to, and the embedding"
        " model that was trained on it."
    ),
    columns=_COLUMNS,
    expectations=_EXPECTATIONS,
    anomalies=_ANOMALIES,
    rates=_RATES,
    slices=_SLICES,
    slice_metrics=_SLICE_METRICS,
    usable=pl.lit(True),
)
