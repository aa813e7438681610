"""The whole contract on real conversations: 870 of them, of which 5,000 were asked for."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from automend_assets.contracts.bias import bias_report
from automend_assets.contracts.contract import expected_rows
from automend_assets.contracts.evaluation import evaluate
from automend_assets.datasets.glaive.contract import CONTRACT
from automend_assets.datasets.glaive.parse import process
from automend_assets.settings import project_root

REAL_ROWS = (
    project_root().parent
    / "shared/realdata/hub/datasets/glaiveai/glaive-function-calling-v2/glaive-function-calling-v2.json"
)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> pl.LazyFrame:
    folder: Path = tmp_path_factory.mktemp("real")
    nothing = pl.lit(None, pl.String)
    raw = (
        pl.read_json(REAL_ROWS, schema={"system": pl.String, "chat": pl.String})
        .with_row_index("row_number")
        .with_columns(pl.col("row_number").cast(pl.Int64), source_error=nothing, source_text=nothing)
    )
    process(raw.lazy(), folder / "processed.parquet", folder / "quarantine.parquet", workers=1)
    return pl.scan_parquet(folder / "processed.parquet")


def test_real_records_keep_every_promise(records: pl.LazyFrame) -> None:
    found = evaluate(CONTRACT, records, expected_rows(5_000, 870))
    assert [result.name for result in found.schema if not result.passed] == []
    assert [result.name for result in (*found.anomalies, *found.rates) if not result.passed] == []
    assert len(found.schema) == 30
    assert len(found.anomalies) == 6


def test_real_records_are_described_without_a_slice_value_that_nobody_declared(records: pl.LazyFrame) -> None:
    report = bias_report(CONTRACT, records, seed=42)
    assert report["rows"] == 870
    assert all(value["declared"] for part in report["slices"] for value in part["values"])
