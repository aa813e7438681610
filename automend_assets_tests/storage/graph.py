"""A small graph over the three IO managers, as a job that other processes can rebuild.

The store is that of AUTOMEND_STORE. `source_rows` is the frame every asset is made from.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import polars as pl
from dagster import (
    AssetIn,
    AssetOut,
    Definitions,
    ExecutorDefinition,
    JobDefinition,
    MaterializeResult,
    Output,
    TableColumn,
    TableSchema,
    asset,
    define_asset_job,
    in_process_executor,
    multi_asset,
    multiprocess_executor,
)
from upath import UPath

from automend_assets.storage.io_managers import (
    JsonIOManager,
    JsonLinesIOManager,
    ParquetIOManager,
    StagedFile,
    write_lines,
    write_parquet,
)
from automend_assets.storage.resources import StoreResource
from automend_assets.versions.partitions import versions_of

VERSIONS = versions_of("glaive")
KEY = ["glaive"]
BY_KEY = AssetIn(key_prefix=KEY)
AWKWARD = ['"', ",", "\\n", "\\", "\t", "ü", "日本", "\u2028", "\r", "\x85", "'", "{}", "\x00", "😀", " ", ""]


def source_rows(rows: int) -> pl.LazyFrame:
    numbers = range(rows)
    lines = [f'{{"row":{row},"text":"{AWKWARD[row % len(AWKWARD)] * (row % 7)}"}}' for row in numbers]
    return pl.LazyFrame({"row_number": numbers, "line": lines})


@asset(
    key_prefix=KEY,
    io_manager_key="parquet",
    partitions_def=VERSIONS,
    metadata={
        "dagster/column_schema": TableSchema([TableColumn("line", description="What the source says.")])
    },
)
def raw_sample() -> pl.LazyFrame:
    return source_rows(40_000)


@multi_asset(
    outs={
        "processed_records": AssetOut(key_prefix=KEY, io_manager_key="parquet"),
        "tool_messages": AssetOut(key_prefix=KEY, io_manager_key="jsonl"),
    },
    ins={"raw_sample": BY_KEY},
    partitions_def=VERSIONS,
)
def staged(store: StoreResource, raw_sample: pl.LazyFrame) -> Iterator[Output[StagedFile]]:
    with store.get().staging() as folder:
        write_parquet(raw_sample.filter(pl.col("row_number") % 2 == 0), folder / "even.parquet")
        write_lines(raw_sample.select("line"), folder / "all.jsonl")
        yield Output(StagedFile(folder / "even.parquet"), output_name="processed_records")
        yield Output(StagedFile(folder / "all.jsonl"), output_name="tool_messages")


@asset(key_prefix=KEY, io_manager_key="jsonl", ins={"processed_records": BY_KEY}, partitions_def=VERSIONS)
def chatml(processed_records: pl.LazyFrame) -> pl.LazyFrame:
    return processed_records.select("line")


@asset(
    key_prefix=KEY,
    io_manager_key="json",
    ins={"chatml": BY_KEY, "processed_records": BY_KEY},
    partitions_def=VERSIONS,
)
def bias_report(chatml: UPath, processed_records: pl.LazyFrame) -> dict[str, Any]:
    with chatml.open("rb") as lines:
        count = sum(1 for _ in lines)
    return {"lines": count, "rows": processed_records.select(pl.len()).collect().item(), "größe": [1.5, None]}


@asset(key_prefix=KEY, ins={"bias_report": BY_KEY}, partitions_def=VERSIONS)
def run_summary(bias_report: dict[str, Any]) -> MaterializeResult[None]:
    return MaterializeResult(metadata={"report": bias_report})


def job(executor: ExecutorDefinition) -> JobDefinition:
    """The whole graph as one job over the store of AUTOMEND_STORE."""
    store = StoreResource(url=os.environ["AUTOMEND_STORE"])
    return Definitions(
        assets=[raw_sample, staged, chatml, bias_report, run_summary],
        jobs=[define_asset_job("everything")],
        executor=executor,
        resources={
            "store": store,
            "parquet": ParquetIOManager(store=store),
            "jsonl": JsonLinesIOManager(store=store),
            "json": JsonIOManager(store=store),
        },
    ).resolve_job_def("everything")


def in_one_process() -> JobDefinition:
    return job(in_process_executor)


def in_many_processes() -> JobDefinition:
    return job(multiprocess_executor.configured({"start_method": {"forkserver": {}}}))
