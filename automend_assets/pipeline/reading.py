"""Reading the sample of a version from its source into the raw frame, as a stream; once, for all datasets.

Here: numbering records, drawing them through the shuffle buffer, progress, writing Parquet whole or not at all. Not
here: opening a source (`connectors.sources`), finding records in bytes (each dataset's `records.py`).
"""

from __future__ import annotations

import io
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from automend_assets.connectors.hub import HubResource
from automend_assets.connectors.sources import CountedStream, Origin, SampleCounts, open_files, shuffled
from automend_assets.pipeline.records import EmptySource
from automend_assets.versions.manifest import Manifest

if TYPE_CHECKING:
    import pyarrow as pa

OnProgress = Callable[[int, int], None]
"""Told (rows read, bytes read) every 2 seconds and at the end."""

_READ_BYTES = 1 << 20
_ROW_GROUP_CHARACTERS = 32 << 20
_PROGRESS_SECONDS = 2.0

R = TypeVar("R", bound=NamedTuple)


@dataclass(frozen=True)
class RecordForm(Generic[R]):
    """How records of one dataset are read and written.

    `read` yields the records of a stream that errors call by a name. `schema` is that of the raw frame: `row_number`,
    then a column per field of a record. `characters` is the length of the long texts of a record, `row_group_rows`
    the most rows of a Parquet row group; one is closed earlier when its texts reach 32 Mi characters. `refused` gives
    the code of a record that could not be read, or None.
    """

    read: Callable[[io.BufferedReader[Any], str], Iterator[R]]
    schema: pa.Schema
    characters: Callable[[R], int]
    refused: Callable[[R], str | None]
    row_group_rows: int


def read_sample(
    manifest: Manifest,
    origin: Origin,
    form: RecordForm[R],
    destination: Path,
    *,
    hub: HubResource,
    on_progress: OnProgress | None = None,
    mark: Callable[[Iterator[tuple[int, R]]], Iterator[tuple[int, R]]] = lambda rows: rows,
) -> SampleCounts:
    """Write the raw frame of a version to the Parquet file `destination`, and count.

    Rows are in the order of the shuffle buffer; `row_number` says how many were read before. `mark` may change records
    after they are drawn. Memory holds the buffer and one row group, and no more of the source is read than the rows
    asked for need. When it cannot be finished, nothing of the file stays behind. The same manifest gives the same
    bytes.

    Raises SourceMissing, SourceChanged, SourceNotReadable, EmptySource and the errors of `connectors.hub`.
    """
    reading = _Reading(manifest, origin, form, hub, on_progress)
    with closing(reading.rows()) as rows:
        drawn = islice(shuffled(rows, seed=manifest.seed, buffer_rows=manifest.shuffle_buffer), manifest.rows)
        written, errors = _write(mark(drawn), form, destination)
    reading.report()
    return SampleCounts(
        rows_read=reading.rows_read,
        rows_written=written,
        bytes_read=reading.bytes_read,
        exhausted=reading.exhausted,
        errors=dict(sorted(errors.items())),
    )


class _Reading(Generic[R]):
    """The records of a source with their numbers, and how far the reading has come."""

    def __init__(
        self,
        manifest: Manifest,
        origin: Origin,
        form: RecordForm[R],
        hub: HubResource,
        on_progress: OnProgress | None,
    ) -> None:
        self._files = open_files(manifest.source, origin, hub)
        self._form = form
        self._on_progress = on_progress
        self.rows_read = 0
        self.bytes_read = 0
        self.exhausted = False

    def rows(self) -> Generator[tuple[int, R], None, None]:
        next_report = time.monotonic() + _PROGRESS_SECONDS
        empty: EmptySource | None = None
        for name, raw in self._files:
            with io.BufferedReader(CountedStream(raw, self._count), _READ_BYTES) as stream:
                try:
                    for record in self._form.read(stream, name):
                        self.rows_read += 1
                        yield self.rows_read - 1, record
                        if time.monotonic() >= next_report:
                            self.report()
                            next_report = time.monotonic() + _PROGRESS_SECONDS
                except EmptySource as error:  # an empty file beside others is fine
                    empty = error
        if empty and not self.rows_read:
            raise empty
        self.exhausted = True

    def _count(self, size: int) -> None:
        self.bytes_read += size

    def report(self) -> None:
        if self._on_progress:
            self._on_progress(self.rows_read, self.bytes_read)


def _write(rows: Iterator[tuple[int, R]], form: RecordForm[R], destination: Path) -> tuple[int, Counter[str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    written, errors = 0, Counter[str]()
    try:
        with pq.ParquetWriter(destination, form.schema, compression="zstd") as writer:
            for group in _row_groups(rows, form):
                numbers, records = zip(*group, strict=True)
                columns = [numbers, *zip(*records, strict=True)]
                arrays = [pa.array(c, f.type) for c, f in zip(columns, form.schema, strict=True)]
                writer.write_table(pa.table(arrays, form.schema))
                written += len(group)
                errors.update(code for code in map(form.refused, records) if code)
    except BaseException:
        destination.unlink(missing_ok=True)
        raise
    return written, errors


def _row_groups(rows: Iterator[tuple[int, R]], form: RecordForm[R]) -> Iterator[list[tuple[int, R]]]:
    group: list[tuple[int, R]] = []
    characters = 0
    for row in rows:
        group.append(row)
        characters += form.characters(row[1])
        if len(group) == form.row_group_rows or characters >= _ROW_GROUP_CHARACTERS:
            yield group
            group, characters = [], 0
    if group:
        yield group
