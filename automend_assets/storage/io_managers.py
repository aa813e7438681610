"""How the value of an asset becomes a file of the store and back.

Here: one IO manager per file form: Parquet for frames, JSON lines for chat forms, JSON for reports, zip for
models. The asset key is [dataset, asset], the partition key the version, the file
`<dataset>/<version>/<asset>.<extension>`.
Not here: naming and atomic writing (`store.py`).

The same value always gives the same bytes: fixed compression, row groups and order, sorted keys, no clock.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl
from dagster import (
    ConfigurableIOManager,
    InputContext,
    MetadataValue,
    OutputContext,
    TableColumn,
    TableSchema,
    TableSchemaMetadataValue,
)

from automend_assets.errors import PermanentError
from automend_assets.storage.resources import StoreResource
from automend_assets.storage.store import Store

if TYPE_CHECKING:
    from upath import UPath

# 113,000 rows of conversations (214 MB of text): zstd 1 took 0.8 s and 29 MB, lz4 1.2 s and 58 MB,
# snappy 1.0 s and 43 MB.
_COMPRESSION_LEVEL = 1
# Row groups of conversations stay near 30 MB, which bounds what a streaming reader holds at once.
_ROW_GROUP_ROWS = 16_384
# Chunks wait in memory when the disk is slower than what makes lines. 800,000 conversations peaked at 866 MB with the
# default of polars and at 275 MB with this, 100,000 of them at 308 and 218 MB, in the same time.
_LINES_AT_A_TIME = 2_048
_READ_BYTES = 4 * 2**20


class NotStorable(PermanentError):
    """A value that the asset's IO manager cannot write, or that would not be read back as it is."""


@dataclass(frozen=True)
class StagedFile:
    """A finished local file that the IO manager publishes as the asset, by a move.

    For functions that write several files in one pass. Make it in `Store.staging()` and yield its Output from
    within that block: Dagster publishes at each yield, and the block removes what is left.
    """

    path: Path


class _StoreIOManager(ConfigurableIOManager):
    """What the three forms share: the file's place, its publication and what the UI shows of it."""

    store: StoreResource

    extension: ClassVar[str]

    def handle_output(self, context: OutputContext, obj: Any) -> None:
        dataset, asset = _dataset_and_asset(context)
        version, name = context.partition_key, f"{asset}.{self.extension}"
        store = self.store.get()
        with store.write(dataset, version, name) as file:
            if isinstance(obj, StagedFile):
                shutil.move(obj.path, file)
            else:
                self._dump(obj, file, f"{dataset}/{asset}")
            metadata = {
                "path": MetadataValue.path(store.url(dataset, version, name)),
                **self._describe(file, context),
            }
        context.add_output_metadata(metadata)

    def load_input(self, context: InputContext) -> Any:
        dataset, asset = _dataset_and_asset(context)
        store, name = self.store.get(), f"{asset}.{self.extension}"
        loaded = {key: self._load(store, dataset, key, name) for key in context.asset_partition_keys}
        return next(iter(loaded.values())) if len(loaded) == 1 else loaded

    def _dump(self, obj: Any, file: Path, asset: str) -> None:
        raise NotImplementedError

    def _load(self, store: Store, dataset: str, version: str, name: str) -> Any:
        raise NotImplementedError

    def _describe(self, file: Path, context: OutputContext) -> dict[str, MetadataValue[Any]]:
        """Metadata of the finished file: at least its size and hash."""
        digest = hashlib.sha256()
        with file.open("rb") as stream:
            while chunk := stream.read(_READ_BYTES):
                digest.update(chunk)
        return _file_metadata(file, digest.hexdigest())


class ParquetIOManager(_StoreIOManager):
    """Frames. Writes a LazyFrame (streamed), a DataFrame or a StagedFile; loads a LazyFrame.

    The table schema that the UI shows is that of the file; descriptions of its columns are taken from the
    `dagster/column_schema` that the asset declares.
    """

    extension: ClassVar[str] = "parquet"

    def _dump(self, obj: Any, file: Path, asset: str) -> None:
        write_parquet(_frame(obj, asset), file)

    def _load(self, store: Store, dataset: str, version: str, name: str) -> pl.LazyFrame:
        return store.scan_parquet(dataset, version, name)

    def _describe(self, file: Path, context: OutputContext) -> dict[str, MetadataValue[Any]]:
        declared = context.definition_metadata.get("dagster/column_schema")
        schema = declared.schema if isinstance(declared, TableSchemaMetadataValue) else declared
        descriptions = {column.name: column.description for column in schema.columns} if schema else {}
        columns = [
            TableColumn(column, type=str(dtype), description=descriptions.get(column))
            for column, dtype in pl.read_parquet_schema(file).items()
        ]
        return {
            "dagster/row_count": MetadataValue.int(parquet_rows(file)),
            "dagster/column_schema": MetadataValue.table_schema(TableSchema(columns)),
            **super()._describe(file, context),
        }


class JsonLinesIOManager(_StoreIOManager):
    """Chat forms. Writes a frame whose one String column `line` holds a JSON object per row, byte for byte,
    or a StagedFile; loads the path, for readers that stream."""

    extension: ClassVar[str] = "jsonl"

    def _dump(self, obj: Any, file: Path, asset: str) -> None:
        write_lines(_frame(obj, asset), file)

    def _load(self, store: Store, dataset: str, version: str, name: str) -> UPath:
        return store.require(dataset, version, name)

    def _describe(self, file: Path, context: OutputContext) -> dict[str, MetadataValue[Any]]:
        rows, sha256 = check_lines(file)
        return {"dagster/row_count": MetadataValue.int(rows), **_file_metadata(file, sha256)}


class JsonIOManager(_StoreIOManager):
    """Reports. Writes what JSON can say, indented and with sorted keys; loads it as Python values."""

    extension: ClassVar[str] = "json"

    def _dump(self, obj: Any, file: Path, asset: str) -> None:
        try:
            text = json.dumps(obj, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
            file.write_bytes(text.encode() + b"\n")
        except (TypeError, ValueError) as error:
            raise NotStorable(f"{asset} cannot be stored as JSON: {error}") from error

    def _load(self, store: Store, dataset: str, version: str, name: str) -> Any:
        return json.loads(store.read_bytes(dataset, version, name))


class ZipIOManager(_StoreIOManager):
    """Models. Writes a StagedFile that is a zip; loads the path, which `Store.local_copy` makes a local one."""

    extension: ClassVar[str] = "zip"

    def _dump(self, obj: Any, file: Path, asset: str) -> None:
        raise NotStorable(f"{asset} returned {type(obj).__name__}; its IO manager takes a StagedFile.")

    def _load(self, store: Store, dataset: str, version: str, name: str) -> UPath:
        return store.require(dataset, version, name)


def write_parquet(frame: pl.LazyFrame, file: Path) -> None:
    """Stream `frame` to a Parquet file in the one form in which the store keeps frames."""
    frame.sink_parquet(
        file,
        compression="zstd",
        compression_level=_COMPRESSION_LEVEL,
        row_group_size=_ROW_GROUP_ROWS,
        statistics=True,
        maintain_order=True,
    )


def write_lines(frame: pl.LazyFrame, file: Path) -> None:
    """Stream the String column `line` of `frame` to a file, each value as it is and a line feed after it."""
    schema = frame.collect_schema()
    if schema.get("line") != pl.String:
        raise NotStorable(f"JSON lines need a String column 'line'; the frame has {dict(schema)}.")
    with pl.Config():
        pl.Config.set_streaming_chunk_size(_LINES_AT_A_TIME)
        frame.select("line").sink_csv(file, include_header=False, quote_style="never", maintain_order=True)


def check_lines(file: Path) -> tuple[int, str]:
    """Number of lines and sha256 of a JSON lines file.

    Raises NotStorable when a line does not reach from brace to brace: a null or an unescaped line feed in the
    frame would otherwise show only when somebody trains on the file.
    """
    digest = hashlib.sha256()
    lines = boundaries = 0
    first, tail = b"", b""
    with file.open("rb") as stream:
        while chunk := stream.read(_READ_BYTES):
            digest.update(chunk)
            first = first or chunk[:1]
            lines += chunk.count(b"\n")
            # Two bytes of the chunk before: a split boundary is seen, none is counted twice.
            boundaries += (tail + chunk).count(b"}\n{")
            tail = (tail + chunk)[-2:]
    if lines and (first != b"{" or tail != b"}\n" or boundaries != lines - 1):
        raise NotStorable(
            f"{file.name} is not JSON lines: {lines:,} lines, of which {lines - 1 - boundaries:,} or more do "
            "not reach from { to }. Look for nulls and line feeds in the column 'line'."
        )
    if tail and not lines:
        raise NotStorable(f"{file.name} is not JSON lines: its last line does not end with a line feed.")
    return lines, digest.hexdigest()


def parquet_rows(file: Path) -> int:
    """Number of rows, from the file's footer."""
    return int(pl.scan_parquet(file, glob=False).select(pl.len()).collect().item())


def _frame(obj: Any, asset: str) -> pl.LazyFrame:
    if isinstance(obj, pl.LazyFrame | pl.DataFrame):
        return obj.lazy()
    raise NotStorable(
        f"{asset} returned {type(obj).__name__}; its IO manager writes a polars LazyFrame, a DataFrame or a "
        "StagedFile."
    )


def _file_metadata(file: Path, sha256: str) -> dict[str, MetadataValue[Any]]:
    return {"bytes": MetadataValue.int(file.stat().st_size), "sha256": MetadataValue.text(sha256)}


def _dataset_and_asset(context: InputContext | OutputContext) -> tuple[str, str]:
    path = context.asset_key.path
    if len(path) != 2 or not context.has_asset_partitions:
        raise NotStorable(
            f"{context.asset_key.to_user_string()} has no place in the store: its key must be "
            "[dataset, asset] and its partitions versions_of(dataset)."
        )
    return path[0], path[1]
