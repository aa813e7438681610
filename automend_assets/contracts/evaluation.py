"""Holds a frame against the whole of its contract, as a pure function of the two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from automend_assets.contracts.anomalies import AnomalyResult, check_anomalies
from automend_assets.contracts.contract import Contract
from automend_assets.contracts.expectations import SchemaResult, check_schema


@dataclass(frozen=True)
class Evaluation:
    """What every check of a contract found; `expected_rows` is what its row bounds were relative to."""

    expected_rows: int
    schema: tuple[SchemaResult, ...]
    anomalies: tuple[AnomalyResult, ...]
    rates: tuple[AnomalyResult, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing blocks: anomalies and rates only warn."""
        return all(result.passed for result in self.schema)

    def as_json(self) -> dict[str, Any]:
        """The evaluation as plain JSON values, the same for the same frame and contract."""
        return {
            "expected_rows": self.expected_rows,
            "passed": self.passed,
            "schema": [result.as_json() for result in self.schema],
            "anomalies": [result.as_json() for result in self.anomalies],
            "rates": [result.as_json() for result in self.rates],
        }


def evaluate(contract: Contract, frame: pl.LazyFrame, expected_rows: int) -> Evaluation:
    """Check a frame against its contract: the schema checks, the anomalies and the rates.

    `expected_rows` comes from `contract.expected_rows(asked, available)`.
    """
    watched = check_anomalies((*contract.anomalies, *contract.rates), frame, expected_rows)
    return Evaluation(
        expected_rows=expected_rows,
        schema=check_schema(contract, frame, expected_rows),
        anomalies=watched[: len(contract.anomalies)],
        rates=watched[len(contract.anomalies) :],
    )
