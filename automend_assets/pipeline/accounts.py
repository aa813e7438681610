"""The accounts that reconciliation checks show: where the rows of a stage went, read from the store."""

from __future__ import annotations

import polars as pl

from automend_assets.contracts.checks import Reconcile
from automend_assets.storage.quarantine import Reconciliation, reconcile, reconcile_rows
from automend_assets.storage.store import Store
from automend_assets.versions.release import describe_artifacts


def account_of_frame(dataset: str, rows_in: str, rows_out: str) -> Reconcile:
    """Every row of the frame `rows_in` is in the frame `rows_out` or was quarantined by it, row by row."""

    def account(store: Store, version: str) -> Reconciliation:
        return reconcile_rows(
            store.scan_parquet(dataset, version, f"{rows_in}.parquet"),
            store.scan_parquet(dataset, version, f"{rows_out}.parquet"),
            _refused(store, dataset, version, rows_out),
        )

    return account


def account_of_lines(dataset: str, rows_in: str, rows_out: str, *, stage: str) -> Reconcile:
    """As many lines are in `rows_out` as rows of the frame `rows_in` were not quarantined at `stage`."""

    def account(store: Store, version: str) -> Reconciliation:
        (lines,) = describe_artifacts(store, dataset, version, [f"{rows_out}.jsonl"])
        return reconcile(
            _count(store.scan_parquet(dataset, version, f"{rows_in}.parquet")),
            lines.rows or 0,
            _count(_refused(store, dataset, version, stage)),
        )

    return account


def _refused(store: Store, dataset: str, version: str, stage: str) -> pl.LazyFrame:
    quarantine = store.scan_parquet(dataset, version, "quarantine.parquet")
    return quarantine.filter(pl.col("stage") == stage)


def _count(frame: pl.LazyFrame) -> int:
    return int(frame.select(pl.len()).collect().item())
