"""Rows of numbers that are collected in memory up to a bound and beyond it in a Parquet file.

Not here: what the numbers mean (`near.py`); sets, which are asked for one by one (`shingle_store.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from numpy.typing import NDArray

Column = NDArray[Any]

_ROWS_PER_READ = 1 << 18
# Selecting and sorting takes about four times the space of what is sorted.
_SPACE_TO_SORT = 4


class SpillingRows:
    """Columns of numbers of equal length, added in pieces and read in pieces as often as needed."""

    def __init__(self, path: Path, memory_bytes: int, *dtypes: type[np.generic]) -> None:
        self._path = path
        self._memory_bytes = memory_bytes
        self._dtypes = dtypes
        self._pieces: list[tuple[Column, ...]] = []
        self._held_bytes = 0
        self._bytes = 0
        self._writer: pq.ParquetWriter | None = None

    def add(self, *columns: Column) -> None:
        """More rows."""
        size = sum(column.nbytes for column in columns)
        self._pieces.append(columns)
        self._held_bytes += size
        self._bytes += size
        if self._held_bytes > self._memory_bytes:
            self._flush()

    def seal(self) -> None:
        """No more rows come; from now on they can be read."""
        if self._writer is not None:
            self._flush()
            self._writer.close()

    @property
    def spilled(self) -> bool:
        """Whether the rows are in the file."""
        return self._writer is not None

    @property
    def turns(self) -> int:
        """Into how many parts the rows have to be divided so that each can be sorted within the bound."""
        return ceil(_SPACE_TO_SORT * self._bytes / self._memory_bytes) if self.spilled else 1

    def pieces(self) -> Iterator[tuple[Column, ...]]:
        """All rows, in the order in which they were added."""
        if self._writer is None:
            yield from self._pieces
            return
        with pq.ParquetFile(self._path, pre_buffer=False) as file:
            for batch in file.iter_batches(batch_size=_ROWS_PER_READ):
                yield tuple(column.to_numpy() for column in pl.DataFrame(batch))

    def concatenated(self, pieces: Iterator[tuple[Column, ...]]) -> tuple[Column, ...]:
        """Pieces as one, with the right types even when there is none."""
        empty = tuple(np.empty(0, dtype) for dtype in self._dtypes)
        return tuple(np.concatenate(column) for column in zip(empty, *pieces, strict=True))

    def _flush(self) -> None:
        columns = self.concatenated(iter(self._pieces))
        # Through polars: pyarrow imports pandas to look at an array of numpy's.
        table = pl.DataFrame({str(number): column for number, column in enumerate(columns)}).to_arrow()
        if self._writer is None:
            self._writer = pq.ParquetWriter(
                self._path, table.schema, compression="none", use_dictionary=False, write_statistics=False
            )
        self._writer.write_table(table)
        self._pieces.clear()
        self._held_bytes = 0
