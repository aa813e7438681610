"""Deduplicates a Parquet file into a file of what is kept and one of what was removed.

Not here: the command line around it (`cli.py`), what a repetition is (`deduplicate.py`).
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from automend_assets.dedup.deduplicate import (
    MEMORY_BYTES,
    Deduplication,
    NotDeduplicable,
    deduplicate,
)

# Of documents: the default of polars would hold a gigabyte of source files in one group.
_ROWS_PER_GROUP = 4_096


def dedup_parquet(
    parquet: Path,
    column: str,
    threshold: float,
    out: Path,
    removed: Path,
    *,
    language: str | None = None,
    memory_bytes: int = MEMORY_BYTES,
) -> Deduplication:
    """Write the kept rows of `parquet` to `out`, all columns and in order, and the removals to `removed`.

    Rows are taken in the order of the file and named by their zero-based row numbers. Either file is there as a whole
    or not at all. Parameters, columns of `removed` and errors are those of `deduplicate`; NotDeduplicable also for
    what is no Parquet file and for an output that would replace the input.
    """
    if not parquet.is_file():
        raise NotDeduplicable(f"{parquet} is no file: name a Parquet file.")
    if len({path.resolve() for path in (parquet, out, removed)}) < 3:
        raise NotDeduplicable(
            f"{out} and {removed} must differ from each other and from {parquet}: name others."
        )
    try:
        frame = pl.scan_parquet(parquet)
        frame.collect_schema()
    except pl.exceptions.PolarsError as error:
        raise NotDeduplicable(f"{parquet} cannot be read as Parquet ({error}): check the file.") from error
    result = deduplicate(frame, column, threshold=threshold, language=language, memory_bytes=memory_bytes)
    _publish(result.kept, out)
    _publish(result.removed.lazy(), removed)
    return result


def _publish(frame: pl.LazyFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        frame.sink_parquet(partial, row_group_size=_ROWS_PER_GROUP)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
