"""The IO managers in a real run: in a folder and in S3, in one process and in many."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from dagster import (
    AssetKey,
    DagsterInstance,
    JobDefinition,
    StaticPartitionsDefinition,
    asset,
    execute_job,
    materialize,
    reconstructable,
)
from hypothesis import given
from hypothesis import strategies as st

from automend_assets.storage.io_managers import (
    JsonIOManager,
    JsonLinesIOManager,
    NotStorable,
    ParquetIOManager,
    check_lines,
    parquet_rows,
    write_lines,
    write_parquet,
)
from automend_assets.storage.resources import StoreResource
from automend_assets.storage.store import ArtifactMissing, Store
from automend_assets_tests.storage import graph

FILES = [
    "raw_sample.parquet",
    "processed_records.parquet",
    "tool_messages.jsonl",
    "chatml.jsonl",
    "bias_report.json",
]


def run_graph(job: Callable[[], JobDefinition], instance: DagsterInstance) -> dict[str, dict[str, Any]]:
    """Materialise everything for v0001; return the metadata of each asset's materialisation."""
    instance.add_dynamic_partitions("glaive_versions", ["v0001"])
    with execute_job(reconstructable(job), instance, tags={"dagster/partition": "v0001"}) as result:
        assert result.success
        events = result.filter_events(lambda event: event.is_step_materialization)
    made = [event.step_materialization_data.materialization for event in events]
    assert {one.partition for one in made} == {"v0001"}
    return {
        one.asset_key.path[-1]: {name: entry.value for name, entry in one.metadata.items()} for one in made
    }


def hashes(store: Store) -> dict[str, str]:
    return {name: hashlib.sha256(store.read_bytes("glaive", "v0001", name)).hexdigest() for name in FILES}


def test_a_graph_has_identical_bytes_in_one_process_and_in_many(
    any_store: Store, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOMEND_STORE", any_store.root)
    metadata = run_graph(graph.in_one_process, instance)
    first = hashes(any_store)

    rows = graph.source_rows(40_000).collect()
    even = rows.filter(pl.col("row_number") % 2 == 0)
    assert any_store.scan_parquet("glaive", "v0001", "raw_sample.parquet").collect().equals(rows)
    assert any_store.scan_parquet("glaive", "v0001", "processed_records.parquet").collect().equals(even)
    for name, lines in (("tool_messages", rows["line"]), ("chatml", even["line"])):
        written = any_store.read_bytes("glaive", "v0001", f"{name}.jsonl")
        assert written == "".join(f"{line}\n" for line in lines).encode()
    report = {"lines": 20_000, "rows": 20_000, "größe": [1.5, None]}
    assert any_store.read_bytes("glaive", "v0001", "bias_report.json") == (
        b'{\n  "gr\xc3\xb6\xc3\x9fe": [\n    1.5,\n    null\n  ],\n  "lines": 20000,\n  "rows": 20000\n}\n'
    )
    assert metadata["run_summary"]["report"] == report

    for name in FILES:
        shown = metadata[name.partition(".")[0]]
        assert shown["path"] == any_store.url("glaive", "v0001", name)
        assert shown["sha256"] == first[name]
        assert shown["bytes"] == len(any_store.read_bytes("glaive", "v0001", name))
    assert [metadata[name].get("dagster/row_count") for name in ("raw_sample", "chatml", "bias_report")] == [
        40_000,
        20_000,
        None,
    ]
    columns = metadata["raw_sample"]["dagster/column_schema"].columns
    assert [(column.name, column.type, column.description) for column in columns] == [
        ("row_number", "Int64", None),
        ("line", "String", "What the source says."),
    ]

    run_graph(graph.in_many_processes, instance)
    assert hashes(any_store) == first


def test_a_missing_input_fails_the_run_with_the_command_that_makes_it(
    store: Store, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOMEND_STORE", store.root)
    instance.add_dynamic_partitions("glaive_versions", ["v0001"])
    with execute_job(
        reconstructable(graph.in_one_process),
        instance,
        tags={"dagster/partition": "v0001"},
        asset_selection=[AssetKey(["glaive", "chatml"])],
    ) as result:
        assert not result.success
        failure = result.failure_data_for_node("glaive__chatml")
    assert failure is not None
    assert failure.error is not None
    told = failure.error.to_string()
    assert ArtifactMissing.__name__ in told
    assert "--select glaive/processed_records --partition v0001" in told


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_frames_have_the_same_bytes_whatever_the_number_of_threads(threads: int, tmp_path: Path) -> None:
    here, there = tmp_path / "here.parquet", tmp_path / "there.parquet"
    write_parquet(graph.source_rows(50_000), here)
    code = (
        "import sys; from pathlib import Path\n"
        "from automend_assets.storage.io_managers import write_parquet\n"
        "import polars as pl\n"
        "assert pl.thread_pool_size() == int(sys.argv[3])\n"
        "write_parquet(pl.scan_parquet(sys.argv[1]), Path(sys.argv[2]))"
    )
    subprocess.run(
        [sys.executable, "-c", code, here, there, str(threads)],
        env={**os.environ, "POLARS_MAX_THREADS": str(threads)},
        check=True,
        timeout=60,
    )
    assert there.read_bytes() == here.read_bytes()
    assert parquet_rows(there) == 50_000


def test_an_empty_frame_is_written_and_read(tmp_path: Path) -> None:
    nothing = graph.source_rows(0).with_columns(pl.col("line").cast(pl.String))
    write_parquet(nothing, tmp_path / "empty.parquet")
    assert parquet_rows(tmp_path / "empty.parquet") == 0
    write_lines(nothing, tmp_path / "empty.jsonl")
    assert check_lines(tmp_path / "empty.jsonl") == (0, hashlib.sha256(b"").hexdigest())


@given(st.lists(st.dictionaries(st.text(), st.text(), max_size=3), min_size=1, max_size=20))
def test_lines_are_written_byte_for_byte(objects: list[dict[str, str]]) -> None:
    lines = [json.dumps(item, ensure_ascii=False) for item in objects]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "lines.jsonl")
        write_lines(pl.LazyFrame({"line": lines}, schema={"line": pl.String}), file)
        written = "".join(f"{line}\n" for line in lines).encode()
        assert file.read_bytes() == written
        assert check_lines(file) == (len(lines), hashlib.sha256(written).hexdigest())


def test_line_boundaries_are_counted_wherever_the_chunks_of_the_reader_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "lines.jsonl"
    file.write_bytes(b'{}\n{"a":1}\n{}\n{}\n')
    for size in range(1, 20):
        monkeypatch.setattr("automend_assets.storage.io_managers._READ_BYTES", size)
        assert check_lines(file)[0] == 4


@pytest.mark.parametrize(
    "content",
    [
        b"\n",
        b"{}\n\n{}\n",
        b"{}\n\n",
        b"\n{}\n",
        b'{"a":\n1}\n',
        b"{}\n{}",
        b"{}",
        b"[]\n",
        b"{}\nnull\n",
        b"{}\r\n{}\n",
    ],
)
def test_what_is_not_json_lines_is_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "lines.jsonl"
    file.write_bytes(content)
    with pytest.raises(NotStorable, match=r"lines.jsonl is not JSON lines"):
        check_lines(file)


@pytest.mark.parametrize(
    ("manager", "value", "message"),
    [
        (ParquetIOManager, [1, 2], "returned list"),
        (ParquetIOManager, None, "returned NoneType"),
        (JsonLinesIOManager, "text", "returned str"),
        (JsonLinesIOManager, pl.LazyFrame({"text": ["{}"]}), "String column 'line'"),
        (JsonLinesIOManager, pl.LazyFrame({"line": [1]}), "String column 'line'"),
        (JsonLinesIOManager, pl.LazyFrame({"line": ["{}", None, "{}"]}), "Look for nulls"),
        (JsonLinesIOManager, pl.LazyFrame({"line": ["{}", '{"a":\n1}']}), "Look for nulls and line feeds"),
        (JsonIOManager, {"rate": float("nan")}, "cannot be stored as JSON"),
        (JsonIOManager, {"when": object()}, "cannot be stored as JSON"),
        (JsonIOManager, {"text": "\ud800"}, "cannot be stored as JSON"),
    ],
)
def test_a_value_that_cannot_be_stored_is_refused_and_nothing_published(
    manager: type[ParquetIOManager], value: object, message: str, store: Store
) -> None:
    @asset(key=["glaive", "odd"], io_manager_key="io", partitions_def=StaticPartitionsDefinition(["v0001"]))
    def odd():  # type: ignore[no-untyped-def]  # its type is what is tested
        return value

    resources = {"io": manager(store=StoreResource(url=store.root))}
    with pytest.raises(NotStorable, match=message):
        materialize([odd], partition_key="v0001", resources=resources)
    assert not store.exists("glaive", "v0001", f"odd.{manager.extension}")


def test_an_asset_without_a_place_in_the_store_is_refused(store: Store) -> None:
    @asset(key=["odd"], io_manager_key="io")
    def odd() -> dict[str, int]:
        return {}

    with pytest.raises(NotStorable, match=r"\[dataset, asset\] and its partitions versions_of"):
        materialize([odd], resources={"io": JsonIOManager(store=StoreResource(url=store.root))})
