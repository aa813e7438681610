"""Keeps the shingle sets of all documents: in memory up to a bound, beyond it in a Parquet file.

Not here: how sets are made (`shingles.py`) or compared (`near.py`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from automend_assets.dedup.shingles import Counts, Hashes, ShingleBlock

_SCHEMA = pa.schema([("shingle", pa.uint64())])
_HASH_BYTES = 8


class ShingleStore:
    """Sets by document number, in the order in which they were added.

    Holds at most `memory_bytes` of sets and one block (for longer than a call); what does not fit is written to
    `folder`, a row group per block, and blocks that are asked for again are cached within the same bound.
    """

    def __init__(self, folder: Path, memory_bytes: int) -> None:
        self.spilled = False
        self._path = folder / "shingles.parquet"
        self._memory_bytes = memory_bytes
        self._held: OrderedDict[int, Hashes] = OrderedDict()
        self._held_bytes = 0
        self._writer: pq.ParquetWriter | None = None
        self._reader: pq.ParquetFile | None = None
        self._sizes: list[Counts] = []
        self._block_of: Counts = np.empty(0, np.int64)
        self._start_of: Counts = np.empty(0, np.int64)
        self._size_of: Counts = np.empty(0, np.int64)

    def append(self, block: ShingleBlock) -> None:
        """Add the documents of a block; they get the next numbers."""
        number = len(self._sizes)
        self._sizes.append(block.sizes)
        if self._writer is None:
            self._hold(number, block.values)
            if self._held_bytes > self._memory_bytes:
                self._spill()
        else:
            _write(self._writer, block.values)

    def seal(self) -> None:
        """No more documents come; from now on sets can be read."""
        if self._writer is not None:
            self._writer.close()
            self._reader = pq.ParquetFile(self._path, pre_buffer=False)
        if self._sizes:
            blocks = np.repeat(np.arange(len(self._sizes)), [len(sizes) for sizes in self._sizes])
            self._block_of = blocks
            self._start_of = np.concatenate([np.cumsum(sizes) - sizes for sizes in self._sizes])
            self._size_of = np.concatenate(self._sizes)

    def close(self) -> None:
        """Let go of the file and of what is held."""
        if self._writer is not None:
            self._writer.close()
        if self._reader is not None:
            self._reader.close()
        self._held.clear()

    @property
    def sizes(self) -> Counts:
        """Shingles per document."""
        return self._size_of

    def blocks(self) -> Iterator[ShingleBlock]:
        """All blocks in order."""
        for number, sizes in enumerate(self._sizes):
            yield ShingleBlock(self._read(number), sizes)

    def get(self, document: int) -> Hashes:
        """The set of one document."""
        number = int(self._block_of[document])
        values = self._held.get(number)
        if values is None:
            values = self._read(number)
            self._hold(number, values)
            while self._held_bytes > self._memory_bytes and len(self._held) > 1:
                self._held_bytes -= self._held.popitem(last=False)[1].nbytes
        elif self.spilled:
            self._held.move_to_end(number)
        start = self._start_of[document]
        return values[start : start + self._size_of[document]]

    def _hold(self, number: int, values: Hashes) -> None:
        self._held[number] = values
        self._held_bytes += values.nbytes

    def _spill(self) -> None:
        self.spilled = True
        self._writer = pq.ParquetWriter(self._path, _SCHEMA, compression="none", use_dictionary=False)
        for values in self._held.values():
            _write(self._writer, values)
        self._held.clear()
        self._held_bytes = 0

    def _read(self, number: int) -> Hashes:
        if self._reader is None:
            return self._held[number]
        return pl.DataFrame(self._reader.read_row_group(number)).to_series().to_numpy()


def _write(writer: pq.ParquetWriter, values: Hashes) -> None:
    # Through polars: pyarrow imports pandas to look at an array of numpy's.
    table = pl.DataFrame({"shingle": values}).to_arrow()
    writer.write_table(table, row_group_size=max(len(values), 1))
