"""The words in which a dataset makes its promises: columns, expectations, anomalies, slices.

One `Contract` per dataset is declared in `datasets/<name>/contract.py`. The Great Expectations suite, the
Dagster checks, the table schema in the UI, the bias report and the dataset card are all derived from it. What
evaluates a contract lives in the modules beside this one; nothing here reads data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import polars as pl

Direction = Literal["above", "below"]


@dataclass(frozen=True)
class OfExpected:
    """A bound given as a share of the rows that a version should have, such as 0.8 of 5,000."""

    share: float

    def lower(self, expected_rows: int) -> int:
        """The smallest allowed number of rows; never 0, because an empty dataset is not one."""
        # Rounding first keeps 0.8 * 870 = 696.0000000000001 from becoming 697.
        return max(1, math.ceil(round(self.share * expected_rows, 6)))

    def upper(self, expected_rows: int) -> int:
        """The largest allowed number of rows; never below the smallest, which is at least 1."""
        return max(1, math.floor(round(self.share * expected_rows, 6)))


def expected_rows(asked: int | None, available: int) -> int:
    """Rows that a version should have: what its manifest asked for, or all that its source had if that is
    less.

    `asked` is None when the manifest asks for all rows; `available` is the row count of the raw sample.
    """
    return available if asked is None else min(asked, available)


ExpectationValue = str | int | float | bool | None | tuple[str, ...] | tuple[bool, ...] | OfExpected


@dataclass(frozen=True)
class Column:
    """One column: its polars dtype, what it means to a reader, and the columns of the source asset behind it."""

    name: str
    dtype: pl.DataType
    description: str
    made_from: tuple[str, ...] = ()


@dataclass(frozen=True)
class Expectation:
    """One schema check, in Great Expectations' terms; failing it blocks everything downstream.

    `kind` is the name of a class in `great_expectations.expectations` and `arguments` are its keyword
    arguments, where an `OfExpected` stands for a number of rows.
    """

    name: str
    kind: str
    arguments: Mapping[str, ExpectationValue]
    description: str

    @property
    def column(self) -> str | None:
        """The column that it looks at; None for a check of the table."""
        value = self.arguments.get("column")
        return value if isinstance(value, str) else None

    def resolved(self, expected_rows: int) -> dict[str, object]:
        """The keyword arguments with every `OfExpected` turned into rows."""
        resolved: dict[str, object] = {}
        for key, value in self.arguments.items():
            if isinstance(value, OfExpected):
                bound = value.upper if key == "max_value" else value.lower
                resolved[key] = bound(expected_rows)
            else:
                resolved[key] = list(value) if isinstance(value, tuple) else value
        return resolved


@dataclass(frozen=True)
class Anomaly:
    """A figure over the whole frame that should stay on one side of a threshold; it warns and never blocks.

    `metric` is a polars expression that aggregates the frame to one number. The check trips when the number
    lies beyond the threshold in `direction`, or cannot be computed.
    """

    name: str
    metric: pl.Expr = field(compare=False)
    direction: Direction
    threshold: float | OfExpected
    recommendation: str
    description: str

    def limit(self, expected_rows: int) -> float:
        """The threshold as a number."""
        if not isinstance(self.threshold, OfExpected):
            return self.threshold
        if self.direction == "below":
            return self.threshold.lower(expected_rows)
        return self.threshold.upper(expected_rows)


@dataclass(frozen=True)
class BiasSlice:
    """A way to cut the rows: `value` gives the slice value of a row as a string; `values` are all of them, in
    order.

    A value with a larger share of the rows than `over_represented` is reported. Balancing leaves no value a larger
    share of the balanced file than `max_share`. None: as large as it is.
    """

    name: str
    value: pl.Expr = field(compare=False)
    values: tuple[str, ...]
    description: str
    over_represented: float | None = None
    max_share: float | None = None


@dataclass(frozen=True)
class SliceMetric:
    """A figure computed for every slice value, so that a reader sees how the slices differ beyond their
    size."""

    name: str
    metric: pl.Expr = field(compare=False)
    description: str


@dataclass(frozen=True)
class Contract:
    """Everything that a dataset promises.

    `asset` names the asset that the columns, expectations and anomalies are about, `source_asset` the one
    whose row count says what the source had. `usable` tells, per row of `asset`, whether it goes into the
    training files. `rates` are warnings like `anomalies`, on shares that this project measures and the
    original did not.
    """

    dataset: str
    asset: str
    source_asset: str
    title: str
    licence: str
    source_url: str
    description: str
    columns: tuple[Column, ...]
    expectations: tuple[Expectation, ...]
    anomalies: tuple[Anomaly, ...]
    rates: tuple[Anomaly, ...]
    slices: tuple[BiasSlice, ...]
    slice_metrics: tuple[SliceMetric, ...]
    usable: pl.Expr = field(compare=False)

    def __post_init__(self) -> None:
        """Refuse a contract that contradicts itself.

        Raises:
            ValueError: a name is used twice, or an expectation is about a column that is not declared.
        """
        names = {
            "column": [column.name for column in self.columns],
            "check": [expectation.name for expectation in self.expectations]
            + [watched.name for watched in (*self.anomalies, *self.rates)],
            "slice": [part.name for part in self.slices],
            "slice metric": [metric.name for metric in self.slice_metrics],
        }
        for what, used in names.items():
            twice = sorted({name for name in used if used.count(name) > 1})
            if twice:
                raise ValueError(
                    f"contract {self.dataset!r} declares the {what} {twice[0]!r} twice; rename one of them"
                )
        for expectation in self.expectations:
            if expectation.column is not None and expectation.column not in names["column"]:
                raise ValueError(
                    f"contract {self.dataset!r}: expectation {expectation.name!r} is about the column"
                    f" {expectation.column!r}, which `columns` does not declare"
                )

    @property
    def schema(self) -> pl.Schema:
        """The dtypes of the declared columns, in their order."""
        return pl.Schema({column.name: column.dtype for column in self.columns})
